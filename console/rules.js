/** Standing rules: a filter, the access that its contacts get, and a schedule. */

import { useState } from './hooks.js';
import { ApiError, call, once, session } from './api.js';
import { NEW_REQUEST, TargetFields, requestOf, startPreview, targetOf, useMissing } from './access.js';
import { FilterWords, UnreadChoices, ViewWords, useChoices } from './contacts.js';
import { filterOfQuery, filterOfView, queryOfFilter, ruleOfFilter } from './selection.js';
import { rich, shownZone, t, time, typedNumber } from './text.js';
import {
  Empty, Failure, Field, Loading, Name, Page, Shown, Table, When, address, announce, go, html, stayer, useAction,
  useAnswer, useSettled,
} from './ui.js';
import { Author, Changes, Dialog, NoPreview, NoteField, Outcome, Progress, Target, isOver, useJob } from './work.js';

const PATH = 'crm/access/rules';
const RUNS = 5;
/** A name that a path can hold as it is: the service takes `.json` and `.xml` for a format. */
const NAME = '(?!\\.{1,2}$)(?!.*\\.(json|xml)$)[A-Za-z0-9._\\-]{1,64}';

/** @typedef {import('./selection.js').Filter} Filter */

/**
 * A form that the user left to look at the contacts of its filter, with the session and the version of the rule. The form
 * takes the fields back when the user returns.
 *
 * @type {{token: string | null, subject: string, etag: string | null, fields: Fields} | null}
 */
let draft = null;
/** @typedef {{name: string, request: ReturnType<typeof requestOf>, cron: string, zone: string, limit: string, note: string, enabled: boolean}} Fields */

/** Returns the fields of the form that the user left, once. @param {string} subject @param {string | null} etag @returns {Fields | null} */
function takeDraft(subject, etag) {
  const left = draft;
  draft = null;
  return left && left.token === session.token && left.subject === subject && left.etag === etag ? left.fields : null;
}

/** Returns the fields of a rule, or of an empty form. @param {any} rule @returns {Fields} */
const fieldsOf = (rule) => ({
  name: rule?.name ?? '', request: rule ? requestOf(rule.target) : NEW_REQUEST, cron: rule?.cron ?? '0 2 * * *', zone: rule?.timeZone ?? shownZone(),
  limit: typeof rule?.maxAffected === 'number' ? String(rule.maxAffected) : '', note: rule?.note ?? '', enabled: rule?.enabled ?? true,
});

/** The list of rules. */
export function Rules() {
  const rules = useAnswer(PATH);
  const choices = useChoices();
  /** @type {import('./ui.js').Column<import('./types').Rule>[]} */
  const columns = [
    { key: 'name', title: t('contacts.name'), head: true, wide: true, cell: (rule) => html`<a href=${address('rule', {}, rule.name)}><${Name}>${rule.name}<//></a>
      ${rule.note && html`<span class="quiet kind"><${Name}>${rule.note}<//></span>`}
      <span class="quiet kind">${rich('rules.owner', { name: html`<${Author} by=${rule.createdBy} />` })}</span>` },
    {
      key: 'filter', title: t('contacts.title'),
      cell: (rule) => html`<${ViewWords} view=${rule.filter} choices=${choices} />`,
    },
    { key: 'target', title: t('job.target'), cell: (rule) => html`<${Target} of=${rule.target} />` },
    {
      key: 'cron', title: t('rules.schedule'),
      cell: (rule) => html`<code>${rule.cron}</code><span class="quiet kind">${rule.timeZone}</span>
        <span class="quiet kind">${typeof rule.maxAffected === 'number' ? t('rules.limit.n', { n: rule.maxAffected }) : t('rules.limit.none')}</span>`,
    },
    {
      key: 'next', title: t('rules.next.one'),
      cell: (rule) => (rule.nextRun ? html`<time datetime=${rule.nextRun}>${time(rule.nextRun, 'weekday', rule.timeZone)}</time>` : t('rules.disabled')),
    },
    { key: 'last', title: t('rules.last'), cell: (rule) => html`${rule.lastJob ? html`<a href=${address('job', {}, rule.lastJob)}><${When} at=${rule.lastRun} /></a>` : t('rules.never')}
      ${rule.lastError && html`<span class="fault kind">${t('rules.last.error')}: ${rule.lastError}</span>`}` },
  ];
  return html`<${Page} title=${t('rules.title')} actions=${html`<a class="button primary" href=${address('rule')}>${t('rules.new')}</a>`}>
    <${UnreadChoices} of=${choices} />
    <${Shown} of=${rules}>${(/** @type {import('./api.js').Answer} */ { response }) =>
      response.length === 0
        ? html`<${Empty} title=${t('rules.none')}><p>${t('rules.none.hint')}</p><p><a href=${address('rule')}>${t('rules.new')}</a></p><//>`
        : html`<${Table} caption=${t('rules.caption')} columns=${columns} rows=${response} keyOf=${(/** @type {import('./types').Rule} */ rule) => rule.name} />`}<//><//>`;
}

/**
 * The view of a rule. The address holds the filter of a new rule.
 *
 * @param {import('./app.js').ViewProperties} properties
 */
export function Rule({ subject, query }) {
  const rule = useAnswer(subject ? `${PATH}/${encodeURIComponent(subject)}` : null);
  const title = subject || t('rules.new');
  const name = html`<${Name}>${title}<//>`;
  if (rule.error) return html`<${Page} title=${title} name=${name}><${Failure} error=${rule.error} retry=${rule.reload} /><//>`;
  if (subject && !rule.answer) return html`<${Page} title=${title} name=${name}><${Loading} /><//>`;
  const shown = rule.answer?.response ?? null;
  const named = filterOfQuery(query);
  return html`<${Page} title=${title} name=${name}>
    <${Editor} key=${rule.answer?.etag} rule=${shown} etag=${rule.answer?.etag ?? null} reload=${rule.reload}
      filter=${shown && !query.has('of') && Object.keys(named).length === 0 ? filterOfView(shown.filter) : named} /><//>`;
}

/**
 * The form of a rule.
 *
 * @param {{rule: any, etag: string | null, filter: Filter, reload: () => void}} properties
 */
function Editor({ rule, etag, filter, reload }) {
  const choices = useChoices();
  const subject = rule?.name ?? '';
  const [first] = useState(() => takeDraft(subject, etag) ?? fieldsOf(rule));
  const [name, setName] = useState(first.name);
  const [request, setRequest] = useState(first.request);
  const [cron, setCron] = useState(first.cron);
  const [zone, setZone] = useState(first.zone);
  const [limit, setLimit] = useState(first.limit);
  const [note, setNote] = useState(first.note);
  const [enabled, setEnabled] = useState(first.enabled);
  const [preview, setPreview] = useState(/** @type {{id: string, asked: string} | null} */ (null));
  const [deleting, setDeleting] = useState(false);
  const saving = useAction();
  const previewing = useAction();
  const removing = useAction();
  const missing = useMissing(request);
  const target = targetOf(request);
  // A preview is about these contacts and this access: another request has no preview yet.
  const asked = JSON.stringify([filter, target]);
  const most = typedNumber(limit);
  const limitFault = limit.trim() !== '' && most === null ? t('error.number', { example: 500 }) : undefined;
  const path = `${PATH}/${encodeURIComponent(name)}`;
  const isUnmet = (/** @type {unknown} */ error) => error instanceof ApiError && error.status === 412;
  const rename = (/** @type {string} */ other) => {
    setName(other);
    saving.forget();
  };

  const save = (/** @type {Event} */ event) => {
    event.preventDefault();
    saving.run(async () => {
      const stays = stayer();
      const body = {
        filter: ruleOfFilter(filter), target, cron, timeZone: zone, enabled,
        ...(most !== null && { maxAffected: most }), ...(note && { note }),
      };
      // The same rule has the same key: after a lost answer, another attempt does not meet the rule that the first one made.
      await once(`rule ${name} ${etag} ${JSON.stringify(body)}`, (key) =>
        call('PUT', path, { body, ...(rule ? { ifMatch: etag } : { ifNoneMatch: '*' }), key }));
      announce(t('rules.saved'));
      if (stays()) go(address('rules'));
    });
  };
  const remove = () =>
    removing.run(async () => {
      const stays = stayer();
      await once(`delete rule ${name} ${etag}`, (key) => call('DELETE', path, { ifMatch: etag, key }));
      announce(t('rules.deleted'));
      if (stays()) go(address('rules'));
    });
  const showPreview = (/** @type {any} */ { currentTarget: { form } }) =>
    form.querySelector('[role="combobox"]:invalid')?.reportValidity() === false || previewing.run(async () => setPreview({ id: await startPreview({ filter }, target), asked }));
  const listQuery = queryOfFilter(filter);
  if (rule) listQuery.set('rule', rule.name);
  const leave = () => {
    draft = { token: session.token, subject, etag, fields: { name, request, cron, zone, limit, note, enabled } };
  };
  /** A failure of a call with a tag. A rule that somebody changed meanwhile can be loaded again. */
  const conflict = (/** @type {unknown} */ error) =>
    error && html`<${Failure} error=${error} title=${isUnmet(error) ? t('rules.conflict') : undefined} retry=${isUnmet(error) ? reload : undefined} />`;
  const input = (/** @type {string} */ value, /** @type {(value: string) => void} */ set, more = {}) => (/** @type {string} */ id, /** @type {string} */ described) =>
    html`<input id=${id} type="text" autocomplete="off" aria-describedby=${described || undefined} value=${value}
      onInput=${(/** @type {any} */ event) => set(event.target.value)} ...${more} />`;

  return html`<div class="columns">
    <form class="panel stack" onSubmit=${save} aria-label=${t('rules.title')}>
      ${!rule && html`<${Field} label=${t('contacts.name')} hint=${t('rules.name.hint')}>${input(name, rename, { required: true, pattern: NAME })}<//>`}
      ${rule?.lastError && html`<p class="fault">${t('rules.last.error')}: ${rule.lastError}</p>`}
      <div class="field"><h2>${t('contacts.title')}</h2><${UnreadChoices} of=${choices} /><${FilterWords} filter=${filter} choices=${choices} />
        <p class="hint"><a href=${address('contacts', listQuery)} onClick=${leave}>${t('rules.filter.show')}</a> ${t(rule ? 'rules.filter.edit' : 'rules.filter.edit.new')}</p></div>
      <h2>${t('job.target')}</h2>
      <${TargetFields} request=${request} onChange=${(/** @type {Partial<typeof request>} */ part) => setRequest((before) => ({ ...before, ...part }))} />
      <h2>${t('rules.schedule')}</h2>
      <${Field} label=${t('rules.cron')} hint=${t('rules.cron.hint')}>${input(cron, setCron, { required: true })}<//>
      <${Field} label=${t('rules.zone')}>${input(zone, setZone, { required: true })}<//>
      <${Field} label=${t('rules.limit')} hint=${t('rules.limit.hint')} fault=${limitFault}>${input(limit, setLimit, { inputmode: 'numeric', 'aria-invalid': String(limitFault !== undefined) })}<//>
      <${NoteField} note=${note} onChange=${setNote} />
      <label class="check"><input type="checkbox" checked=${enabled} onChange=${() => setEnabled(!enabled)} /><span>${t('rules.enabled')}</span></label>
      ${isUnmet(saving.error) && !rule ? html`<div class="failure" role="alert"><p>${t('rules.exists')}</p></div>` : conflict(saving.error)}
      ${previewing.error && html`<${Failure} error=${previewing.error} />`}
      <div class="actions">
        <button type="submit" class="primary" disabled=${missing !== null || limitFault !== undefined} aria-disabled=${String(saving.busy)} aria-describedby=${missing ? 'missing' : undefined}>${t('rules.save')}</button>
        <button type="button" disabled=${missing !== null} aria-disabled=${String(previewing.busy)} aria-describedby=${missing ? 'missing' : undefined} onClick=${showPreview}>${t('rules.preview')}</button>
        ${rule && html`<button type="button" onClick=${() => setDeleting(true)}>${t('rules.delete')}</button>`}
        ${missing && html`<p class="hint" id="missing">${missing}</p>`}
      </div>
    </form>
    <div class="stack"><${Runs} cron=${cron} zone=${zone} />${preview?.asked === asked && html`<${Preview} key=${preview.id} id=${preview.id} limit=${most} />`}</div>
    ${deleting && html`<${Dialog} title=${t('rules.delete.title', { name })} onClose=${() => setDeleting(false)}
      footer=${html`<button type="button" onClick=${() => setDeleting(false)}>${t('back')}</button>
        <button type="button" class="primary" aria-disabled=${String(removing.busy)} onClick=${remove}>${t('rules.delete')}</button>`}>
      ${conflict(removing.error)}<p>${t('rules.delete.text')}</p><//>`}
  </div>`;
}

/** The next runs of a schedule that need not be saved yet. @param {{cron: string, zone: string}} properties */
function Runs({ cron, zone }) {
  const settled = useSettled(`${cron}\n${zone}`, 400).split('\n');
  const runs = useAnswer('crm/access/schedule', { cron: settled[0], timeZone: settled[1], count: RUNS });
  return html`<section class="panel stack tight" aria-labelledby="runs"><h2 id="runs">${t('rules.next')}</h2>
    ${runs.error ? html`<p class="fault" role="status">${runs.error instanceof ApiError && runs.error.message ? runs.error.message : t('error.no-answer')}</p>`
      : html`<${Shown} of=${runs} lines=${5}>${(/** @type {import('./api.js').Answer} */ { response }) => html`<div class="stack tight">
        <p class="quiet">${t('rules.next.five', { zone: response.timeZone })}</p>
        <ol class="stack tight" role="list">${response.runs.map((/** @type {string} */ run) => html`<li><time datetime=${run}>${time(run, 'weekday', response.timeZone)}</time></li>`)}</ol></div>`}<//>`}
  </section>`;
}

/** The preview of a run. @param {{id: string, limit: number | null}} properties */
function Preview({ id, limit }) {
  const { job, error } = useJob(id);
  const stops = job?.state === 'done' && limit !== null && job.updated > limit;
  return html`<section class="panel stack" aria-labelledby="preview"><h2 id="preview">${t('job.kind.preview')}</h2>
    <p class="hint">${t('rules.preview.text')}</p>
    ${error && html`<${Failure} error=${error} />`}
    ${job && html`<${Progress} job=${job} spoken />`}
    ${stops && html`<p class="fault" role="status">${t('rules.preview.stops', { n: job.updated, limit })}</p>`}
    ${job?.state === 'done' ? html`<${Outcome} job=${job} /><${Changes} id=${id} caption=${t('access.changes')} count=${job.updated} />`
      : job && isOver(job) && html`<${NoPreview} job=${job} />`}
  </section>`;
}
