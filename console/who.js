/** The view of who can see what: by person, by contact, and the counted access of all contacts per stage and tag. */

import { useEffect, useState } from './hooks.js';
import { ApiError, call, newKey } from './api.js';
import { Bars, Chart } from './chart.js';
import { Typed } from './contacts.js';
import { number, rich, t, time } from './text.js';
import {
  AccessWord, Failure, Name, Page, PeoplePicker, Sees, Shown, Swatched, Table, address, columnsOf, go, html, useAction, useAnswer,
  usePeople,
} from './ui.js';
import { Progress, isOver, useJob } from './work.js';

/** The tags of the chart: the largest ones. The table has the same. */
const TAGS = 20;
const ROWS = 25;
const FIELDS = 'id,displayName,contactStatus,accessList,isPrivate,shareType';

/**
 * The page.
 *
 * @param {import('./app.js').ViewProperties} properties
 */
export function Who({ query, frame }) {
  const turn = (/** @type {string} */ name, /** @type {string} */ value) => {
    const next = new URLSearchParams(query);
    value === '' ? next.delete(name) : next.set(name, value);
    go(address('who', next), 'replace');
  };
  const userId = query.get('userId');
  return html`<${Page} title=${t('who.title')}>
    <div class="stack">
      ${frame.you.isAdmin ? html`<${Counts} />` : html`<p class="notice">${t('who.chart.admins')}</p>`}
      <div class="columns">
        <section class="panel stack" aria-labelledby="by-person"><h2 id="by-person">${t('who.person')}</h2>
          <${PeoplePicker} label=${t('who.person.choose')} single chosen=${userId ? [userId] : []} onChange=${(/** @type {string[]} */ ids) => turn('userId', ids[0] ?? '')} />
          ${userId ? html`<${OnePerson} key=${userId} id=${userId} you=${frame.you} />` : html`<p class="quiet">${t('who.person.hint')}</p>`}
        </section>
        <section class="panel stack" aria-labelledby="by-contact"><h2 id="by-contact">${t('who.contact')}</h2>
          <${OneContact} words=${query.get('words') ?? ''} userId=${userId} onWords=${(/** @type {string} */ words) => turn('words', words)} />
        </section>
      </div>
    </div><//>`;
}

/**
 * The contacts that a person sees. To an ordinary user, the view shows only contacts that this user sees too.
 *
 * @param {{id: string, you: import('./ui.js').Person}} properties
 */
function OnePerson({ id, you }) {
  const [one] = usePeople([id]);
  const own = useAnswer('crm/contact/filter', { responsibleid: id, isShared: false, count: ROWS, sortBy: 'displayName', fields: FIELDS });
  const shared = useAnswer('crm/contact/filter', { isShared: true, count: 1, fields: 'id' });
  const name = html`<${Name}>${one.displayName}<//>`;
  const key = own.answer?.atLeast ? 'who.person.at-least' : 'who.person.private';
  if (one.isAdmin) return html`<p>${rich('who.person.admin', { name })}</p>`;
  return html`
    ${shared.answer && html`<p>${rich(shared.answer.atLeast ? 'who.person.shared.at-least' : 'who.person.shared', { n: shared.answer.total ?? 0, name })}</p>`}
    ${!you.isAdmin && id !== you.id && own.answer?.response.length > 0 && html`<p class="hint">${t('who.person.visible')}</p>`}
    <${Shown} of=${own} lines=${4}>${(/** @type {import('./api.js').Answer} */ { response, total }) =>
      response.length === 0
        ? html`<p>${rich(you.isAdmin || id === you.id ? 'who.person.none' : 'who.person.none.visible', { name })}</p>`
        : html`<div class="stack"><p>${rich(key, { n: total ?? response.length, name })}</p>
            <div class="actions"><a class="button" href=${address('contacts', { responsibleid: id, isShared: 'false' })}>${rich('who.person.list', { name })}</a>
              <a class="button" href=${address('access', { of: 'all', responsibleid: id, take: id })}>${rich('who.person.move', { name })}</a></div>
            <${Table} caption=${t('who.person.list', { name: one.displayName })} rows=${response} keyOf=${(/** @type {any} */ row) => row.id}
              columns=${contactColumns(id, { key: 'stage', title: t('contacts.stage'), cell: (row) => html`<${Swatched} of=${row.contactStatus} none=${t('no-stage')} />` })} /></div>`}<//>`;
}

/**
 * Returns the columns of a table of contacts: the name, one more column, and the people who may see the contact.
 *
 * @param {string | null} userId The person about whom the page of a contact then says why.
 * @param {import('./ui.js').Column<any>} second
 */
const contactColumns = (userId, second) => columnsOf([
  {
    key: 'name', title: t('contacts.name'), head: true,
    cell: (row) => html`<a href=${address('contact', userId ? { userId } : {}, row.id)}><${Name}>${row.displayName}<//></a>`,
  },
  second,
  { key: 'who', title: t('contacts.who'), cell: (row) => html`<${Sees} shareType=${row.shareType} people=${row.accessList} />` },
]);

/** @param {{words: string, userId: string | null, onWords: (words: string) => void}} properties */
function OneContact({ words, userId, onWords }) {
  const found = useAnswer(words ? 'crm/contact/filter' : null, { filterValue: words, count: 10, sortBy: 'displayName', fields: FIELDS });
  return html`<${Typed} label=${t('who.contact.find')} type="search" value=${words} onChange=${onWords} />
    ${words && html`<${Shown} of=${found} lines=${4}>${(/** @type {import('./api.js').Answer} */ { response }) =>
      response.length === 0
        ? html`<p class="quiet">${t('contacts.none')}</p>`
        : html`<${Table} caption=${t('who.contact.results')} rows=${response} keyOf=${(/** @type {any} */ row) => row.id}
            columns=${contactColumns(userId, { key: 'access', title: t('contacts.access'), cell: (row) => html`<${AccessWord} shareType=${row.shareType} />` })} />`}<//>`}`;
}

/** @typedef {{private: number, sharedForEditing: number, sharedForReading: number}} Count */

/** The counted access of all contacts, with the time of the count. */
function Counts() {
  const latest = useAnswer('crm/access/snapshots/latest');
  const [id, setId] = useState(/** @type {string | null} */ (null));
  const { job, error } = useJob(id);
  const action = useAction();
  const never = latest.error instanceof ApiError && latest.error.status === 404;
  useEffect(() => {
    if (job && isOver(job)) latest.reload();
  }, [job?.state]);
  const count = () =>
    action.run(async () => {
      setId((await call('POST', 'crm/access/snapshots', { key: newKey() })).response.id);
    });
  const counting = job !== null && !isOver(job);
  return html`<section class="stack" aria-labelledby="counts">
    <div class="page-head"><h2 id="counts">${t('who.chart')}</h2>
      <div class="actions">${latest.answer && !never && html`<p class="quiet">${t('who.chart.as-of', { time: time(latest.answer.response.finished ?? latest.answer.response.created) })}</p>`}
        <button type="button" aria-disabled=${String(action.busy || counting)} onClick=${() => counting || count()}>${t(never ? 'who.chart.count.first' : 'who.chart.count')}</button></div></div>
    ${(action.error || error) && html`<${Failure} error=${action.error ?? error} />`}
    ${job?.state === 'failed' && html`<p class="fault" role="alert">${job.error}</p>`}
    ${counting && html`<div class="panel stack tight"><p>${t('who.chart.counting')}</p><${Progress} job=${job} spoken /></div>`}
    ${never ? html`<p class="notice">${t('who.chart.never')}</p>`
      : html`<${Shown} of=${latest}>${(/** @type {import('./api.js').Answer} */ { response }) => html`<div class="columns">
          <${CountChart} title=${t('who.chart.stages')} rows=${[...named(response.stages, true), { key: 'all', name: t('who.chart.all'), text: t('who.chart.all'), of: response.all }]} />
          <${CountChart} title=${t('who.chart.tags')} rows=${named(response.tags, false).slice(0, TAGS)}
            hint=${response.tags.length > TAGS && t('who.chart.largest', { n: TAGS, total: response.tags.length })} />
        </div>`}<//>`}
  </section>`;
}

/** @param {any[]} list @param {boolean} stages */
function named(list, stages) {
  const rows = list.map((one) => ({
    key: String(one.id ?? one.title), text: one.id === 0 ? t('no-stage') : one.title, of: /** @type {Count} */ (one),
    name: one.id === 0 ? t('no-stage') : stages ? html`<${Swatched} of=${one} none="" />` : html`<${Name}>${one.title}<//>`,
  }));
  return stages ? rows : rows.sort((a, b) => sum(b.of) - sum(a.of));
}

/** @param {Count} of */
const sum = (of) => of.private + of.sharedForEditing + of.sharedForReading;

/** @param {{title: string, rows: {key: string, name: any, text: string, of: Count}[], hint?: string | false}} properties */
function CountChart({ title, rows, hint }) {
  const column = (/** @type {string} */ key, /** @type {string} */ title, /** @type {(of: Count) => number} */ value) =>
    ({ key, title, number: true, cell: (/** @type {any} */ row) => number(value(row.of)) });
  const table = {
    rows, keyOf: (/** @type {any} */ row) => row.key, columns: columnsOf([
      { key: 'name', title: t('contacts.name'), head: true, cell: (row) => row.name },
      column('private', t('private'), (of) => of.private),
      column('editing', t('who.chart.editing'), (of) => of.sharedForEditing),
      column('reading', t('read-only'), (of) => of.sharedForReading),
      column('all', t('who.chart.all'), sum),
    ]),
  };
  return html`<${Chart} title=${title} legend=${[t('private'), t('who.chart.editing'), t('read-only')]} hint=${hint} table=${table}>
    <${Bars} rows=${rows.map((row) => ({
      key: row.key, name: row.name, values: [row.of.private, row.of.sharedForEditing, row.of.sharedForReading], total: number(sum(row.of)),
      label: t('who.chart.bar', { name: row.text, private: row.of.private, editing: row.of.sharedForEditing, reading: row.of.sharedForReading }),
    }))} /><//>`;
}
