/** Standing rules: a filter, the access that its contacts get, and a schedule. */

import { useState } from './hooks.js';
import { ApiError, call } from './api.js';
import { TargetFields, missingIn, targetOf } from './access.js';
import { useChoices } from './contacts.js';
import { changeOfFilter, filterOfQuery, filterOfView, queryOfFilter, ruleOfFilter } from './selection.js';
import { number, shownZone, t, time, typedNumber } from './text.js';
import {
  Empty, Failure, Field, Loading, Name, Page, Shown, Table, When, address, announce, go, html, partsOf, useAction,
  useAnswer, usePeople, useSettled,
} from './ui.js';
import { Author, Changes, Dialog, NoteField, Progress, Target, isOver, sentences, useJob } from './work.js';

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
    { key: 'name', title: t('rules.name'), head: true, cell: (rule) => html`<a href=${address('rule', {}, rule.name)}><${Name}>${rule.name}<//></a>
      ${rule.note && html`<span class="quiet kind"><${Name}>${rule.note}<//></span>`}` },
    {
      key: 'filter', title: t('rules.filter'),
      cell: (rule) => html`<${FilterWords} filter=${filterOfView(rule.filter)} choices=${choices} />`,
    },
    { key: 'target', title: t('rules.target'), cell: (rule) => html`<${Target} of=${rule.target} />` },
    {
      key: 'cron', title: t('rules.schedule'),
      cell: (rule) => html`<code>${rule.cron}</code><span class="quiet kind">${rule.timeZone}</span>`,
    },
    {
      key: 'next', title: t('rules.next'),
      cell: (rule) => (rule.nextRun ? html`<time datetime=${rule.nextRun}>${time(rule.nextRun, 'weekday', rule.timeZone)}</time>` : t('rules.disabled')),
    },
    {
      key: 'limit', title: t('rules.limit'), number: true,
      cell: (rule) => (typeof rule.maxAffected === 'number' ? number(rule.maxAffected) : t('rules.limit.none')),
    },
    { key: 'last', title: t('rules.last'), cell: (rule) => html`${rule.lastJob ? html`<a href=${address('job', {}, rule.lastJob)}><${When} at=${rule.lastRun} /></a>` : t('rules.never')}
      ${rule.lastError && html`<span class="fault kind">${t('rules.last.error')}: ${rule.lastError}</span>`}` },
    { key: 'owner', title: t('rules.owner'), cell: (rule) => html`<${Author} by=${rule.createdBy} />` },
  ];
  return html`<${Page} title=${t('rules.title')} actions=${html`<a class="button primary" href=${address('rule')}>${t('rules.new')}</a>`}>
    <${Shown} of=${rules}>${(/** @type {import('./api.js').Answer} */ { response }) =>
      response.length === 0
        ? html`<${Empty} title=${t('rules.none')}><p>${t('rules.none.hint')}</p><p><a href=${address('rule')}>${t('rules.new')}</a></p><//>`
        : html`<${Table} caption=${t('rules.caption')} columns=${columns} rows=${response} keyOf=${(/** @type {import('./types').Rule} */ rule) => rule.name} />`}<//><//>`;
}

/** @param {{filter: Filter, choices: import('./ui.js').Choices}} properties */
function FilterWords({ filter, choices }) {
  usePeople(filter.responsibleid ?? []);
  const parts = partsOf(filter, choices);
  return html`<ul class="chips">${parts.length > 0 ? parts.map((part) => html`<li class="chip">${part.words}</li>`) : html`<li class="chip">${t('filter.every')}</li>`}</ul>`;
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

/** @param {any} target @returns {{verb: 'give' | 'take' | 'replace', people: string[], visibility: 'keep' | 'private' | 'shared'}} */
function requestOf(target) {
  const verb = target?.managerList ? 'replace' : target?.removeManagers?.length && !target?.addManagers?.length ? 'take' : 'give';
  const people = target?.managerList ?? (verb === 'take' ? target?.removeManagers : target?.addManagers) ?? [];
  const visibility = target?.isPrivate === true ? 'private' : target?.isPrivate === false ? 'shared' : 'keep';
  return { verb, people, visibility };
}

/**
 * The form of a rule.
 *
 * @param {{rule: any, etag: string | null, filter: Filter, reload: () => void}} properties
 */
function Editor({ rule, etag, filter, reload }) {
  const choices = useChoices();
  const [name, setName] = useState(rule?.name ?? '');
  const [request, setRequest] = useState(() => requestOf(rule?.target));
  const [cron, setCron] = useState(rule?.cron ?? '0 2 * * *');
  const [zone, setZone] = useState(rule?.timeZone ?? shownZone());
  const [limit, setLimit] = useState(typeof rule?.maxAffected === 'number' ? String(rule.maxAffected) : '');
  const [note, setNote] = useState(rule?.note ?? '');
  const [enabled, setEnabled] = useState(rule?.enabled ?? true);
  const [preview, setPreview] = useState(/** @type {string | null} */ (null));
  const [deleting, setDeleting] = useState(false);
  const action = useAction();
  const missing = missingIn({ ...request, note: '' });
  // A rule may do both at once; the form shows one verb, and a target that the form cannot show is kept as it is.
  const both = rule?.target?.addManagers?.length > 0 && rule?.target?.removeManagers?.length > 0;
  const target = both ? Object.fromEntries(Object.entries(rule.target).filter(([, value]) => value !== null)) : targetOf({ ...request, note: '' });
  const path = `${PATH}/${encodeURIComponent(name)}`;
  const changed = action.error instanceof ApiError && action.error.status === 412;

  const save = (/** @type {Event} */ event) => {
    event.preventDefault();
    action.run(async () => {
      const most = typedNumber(limit);
      const body = {
        filter: ruleOfFilter(filter), target, cron, timeZone: zone, enabled,
        ...(most !== null && { maxAffected: most }), ...(note && { note }),
      };
      await call('PUT', path, { body, ifMatch: rule && etag, key: crypto.randomUUID() });
      announce(t('rules.saved'));
      go(address('rules'));
    });
  };
  const remove = () =>
    action.run(async () => {
      await call('DELETE', path, { ifMatch: etag });
      announce(t('rules.deleted'));
      go(address('rules'));
    });
  const startPreview = () =>
    action.run(async () => {
      const { query, body } = changeOfFilter(filter);
      query.set('dryRun', 'true');
      const { response } = await call('PUT', 'crm/contact/filter/access.json', { query, body: { ...body, ...target }, queued: true, key: crypto.randomUUID() });
      setPreview(response.id);
    });
  const input = (/** @type {string} */ value, /** @type {(value: string) => void} */ set, more = {}) => (/** @type {string} */ id, /** @type {string} */ described) =>
    html`<input id=${id} type="text" autocomplete="off" aria-describedby=${described || undefined} value=${value}
      onInput=${(/** @type {any} */ event) => set(event.target.value)} ...${more} />`;

  return html`<div class="columns">
    <form class="panel stack" onSubmit=${save} aria-label=${t('rules.title')}>
      ${!rule && html`<${Field} label=${t('rules.name')} hint=${t('rules.name.hint')}>${input(name, setName, { required: true, pattern: NAME })}<//>`}
      ${rule?.lastError && html`<p class="fault">${t('rules.last.error')}: ${rule.lastError}</p>`}
      <div class="field"><h2>${t('rules.filter')}</h2><${FilterWords} filter=${filter} choices=${choices} />
        <p class="hint"><a href=${address('contacts', queryOfFilter(filter))}>${t('rules.filter.show')}</a> ${t('rules.filter.edit')}</p></div>
      <h2>${t('rules.target')}</h2>
      ${both ? html`<p><${Target} of=${rule.target} /></p>`
        : html`<${TargetFields} request=${request} onChange=${(/** @type {Partial<typeof request>} */ part) => setRequest((before) => ({ ...before, ...part }))} />`}
      <h2>${t('rules.schedule')}</h2>
      <${Field} label=${t('rules.cron')} hint=${t('rules.cron.hint')}>${input(cron, setCron, { required: true })}<//>
      <${Field} label=${t('rules.zone')}>${input(zone, setZone, { required: true })}<//>
      <${Field} label=${t('rules.limit')} hint=${t('rules.limit.hint')}>${input(limit, setLimit, { inputmode: 'numeric' })}<//>
      <${NoteField} note=${note} onChange=${setNote} />
      <label class="check"><input type="checkbox" checked=${enabled} onChange=${() => setEnabled(!enabled)} /><span>${t('rules.enabled')}</span></label>
      ${action.error && html`<${Failure} error=${action.error} title=${changed ? t('rules.conflict') : undefined} retry=${changed ? reload : undefined} />`}
      <div class="actions">
        <button type="submit" class="primary" disabled=${action.busy || missing !== null} aria-describedby=${missing ? 'missing' : undefined}>${t('rules.save')}</button>
        <button type="button" disabled=${action.busy || missing !== null} onClick=${startPreview}>${t('rules.preview')}</button>
        ${rule && html`<button type="button" onClick=${() => setDeleting(true)}>${t('rules.delete')}</button>`}
        ${missing && html`<p class="hint" id="missing">${t(missing)}</p>`}
      </div>
    </form>
    <div class="stack"><${Runs} cron=${cron} zone=${zone} />${preview && html`<${Preview} key=${preview} id=${preview} />`}</div>
    ${deleting && html`<${Dialog} title=${t('rules.delete.title', { name })} onClose=${() => setDeleting(false)}
      footer=${html`<button type="button" onClick=${() => setDeleting(false)}>${t('back')}</button>
        <button type="button" class="primary" disabled=${action.busy} onClick=${remove}>${t('rules.delete')}</button>`}>
      ${action.error && html`<${Failure} error=${action.error} />`}<p>${t('rules.delete.text')}</p><//>`}
  </div>`;
}

/** The next runs of a schedule that need not be saved yet. @param {{cron: string, zone: string}} properties */
function Runs({ cron, zone }) {
  const settled = useSettled(`${cron}\n${zone}`, 400).split('\n');
  const runs = useAnswer('crm/access/schedule', { cron: settled[0], timeZone: settled[1], count: RUNS });
  return html`<section class="panel stack tight" aria-labelledby="runs"><h2 id="runs">${t('rules.next')}</h2>
    ${runs.error ? html`<p class="fault" role="status">${runs.error instanceof ApiError && runs.error.message ? runs.error.message : t('error.no-answer')}</p>`
      : html`<${Shown} of=${runs} lines=${5}>${(/** @type {import('./api.js').Answer} */ { response }) => html`
        <p class="quiet">${t('rules.next.five', { zone: response.timeZone })}</p>
        <ol class="stack tight" role="list">${response.runs.map((/** @type {string} */ run) => html`<li><time datetime=${run}>${time(run, 'weekday', response.timeZone)}</time></li>`)}</ol>`}<//>`}
  </section>`;
}

/** The preview of a run. @param {{id: string}} properties */
function Preview({ id }) {
  const { job, error } = useJob(id);
  return html`<section class="panel stack" aria-labelledby="preview"><h2 id="preview">${t('access.preview.title')}</h2>
    <p class="hint">${t('rules.preview.text')}</p>
    ${error && html`<${Failure} error=${error} />`}
    ${job && html`<${Progress} job=${job} spoken />`}
    ${job && isOver(job) && html`<p class="big">${sentences(job)[0]}</p>${sentences(job).slice(1).map((one) => html`<p>${one}</p>`)}
      ${job.loses && html`<p>${job.loses.users > 0 ? t('access.loses', { n: job.loses.users }) : t('access.loses.none')}</p>`}
      ${job.state === 'done' && html`<${Changes} id=${id} caption=${t('access.changes')} count=${job.updated} />`}`}
  </section>`;
}
