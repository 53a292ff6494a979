/** Standing rules: a filter, the access that its contacts get, and a schedule. */

import { useState } from './hooks.js';
import { ApiError, call, once } from './api.js';
import { NEW_REQUEST, TargetFields, requestOf, startPreview, targetOf, useMissing } from './access.js';
import { FilterWords, ViewWords, useChoices } from './contacts.js';
import { filterOfQuery, filterOfView, queryOfFilter, ruleOfFilter } from './selection.js';
import { rich, shownZone, t, time, typedNumber } from './text.js';
import {
  Empty, Failure, Field, Loading, Name, Page, Shown, Table, When, address, announce, go, html, stayer, useAction,
  useAnswer, useSettled,
} from './ui.js';
import { Author, Changes, Dialog, NoPreview, NoteField, Outcome, Progress, Target, isOver, useJob } from './work.js';

const PATH = 'crm/access/rules';
const RUNS = 5;
const NAME = '[A-Za-z0-9._\\-]{1,64}';

/** @typedef {import('./selection.js').Filter} Filter */

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
    <${Shown} of=${rules}>${(/** @type {import('./api.js').Answer} */ { response }) =>
      response.length === 0
        ? html`<${Empty} title=${t('rules.none')}><p>${t('rules.none.hint')}</p><p><a href=${address('rule')}>${t('rules.new')}</a></p><//>`
        : html`<${Table} caption=${t('rules.caption')} columns=${columns} rows=${response} keyOf=${(/** @type {import('./types').Rule} */ rule) => rule.name} />`}<//><//>`;
}

/**
 * One rule, or a new one, whose filter the address holds.
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
      filter=${shown && Object.keys(named).length === 0 ? filterOfView(shown.filter) : named} /><//>`;
}

/**
 * The form of a rule.
 *
 * @param {{rule: any, etag: string | null, filter: Filter, reload: () => void}} properties
 */
function Editor({ rule, etag, filter, reload }) {
  const choices = useChoices();
  const [name, setName] = useState(rule?.name ?? '');
  const [request, setRequest] = useState(rule ? requestOf(rule.target) : NEW_REQUEST);
  const [cron, setCron] = useState(rule?.cron ?? '0 2 * * *');
  const [zone, setZone] = useState(rule?.timeZone ?? shownZone());
  const [limit, setLimit] = useState(typeof rule?.maxAffected === 'number' ? String(rule.maxAffected) : '');
  const [note, setNote] = useState(rule?.note ?? '');
  const [enabled, setEnabled] = useState(rule?.enabled ?? true);
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
  const showPreview = () =>
    previewing.run(async () => setPreview({ id: await startPreview({ filter }, target), asked }));
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
      <div class="field"><h2>${t('contacts.title')}</h2><${FilterWords} filter=${filter} choices=${choices} />
        <p class="hint"><a href=${address('contacts', queryOfFilter(filter))}>${t('rules.filter.show')}</a> ${t('rules.filter.edit')}</p></div>
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
        <button type="submit" class="primary" disabled=${saving.busy || missing !== null || limitFault !== undefined} aria-describedby=${missing ? 'missing' : undefined}>${t('rules.save')}</button>
        <button type="button" disabled=${previewing.busy || missing !== null} aria-describedby=${missing ? 'missing' : undefined} onClick=${showPreview}>${t('rules.preview')}</button>
        ${rule && html`<button type="button" onClick=${() => setDeleting(true)}>${t('rules.delete')}</button>`}
        ${missing && html`<p class="hint" id="missing">${missing}</p>`}
      </div>
    </form>
    <div class="stack"><${Runs} cron=${cron} zone=${zone} />${preview?.asked === asked && html`<${Preview} key=${preview.id} id=${preview.id} />`}</div>
    ${deleting && html`<${Dialog} title=${t('rules.delete.title', { name })} onClose=${() => setDeleting(false)}
      footer=${html`<button type="button" onClick=${() => setDeleting(false)}>${t('back')}</button>
        <button type="button" class="primary" disabled=${removing.busy} onClick=${remove}>${t('rules.delete')}</button>`}>
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

/** The preview of a run. @param {{id: string}} properties */
function Preview({ id }) {
  const { job, error } = useJob(id);
  return html`<section class="panel stack" aria-labelledby="preview"><h2 id="preview">${t('job.kind.preview')}</h2>
    <p class="hint">${t('rules.preview.text')}</p>
    ${error && html`<${Failure} error=${error} />`}
    ${job && html`<${Progress} job=${job} spoken />`}
    ${job?.state === 'done' ? html`<${Outcome} job=${job} /><${Changes} id=${id} caption=${t('access.changes')} count=${job.updated} />`
      : job && isOver(job) && html`<${NoPreview} job=${job} />`}
  </section>`;
}
