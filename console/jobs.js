/** Jobs: every change of access, its progress, its undo, and the contacts that were changed per day. */

import { useEffect, useState } from './hooks.js';
import { watch } from './api.js';
import { Chart, Columns } from './chart.js';
import { Typed, UnreadChoices, ViewWords, useChoices } from './contacts.js';
import { queryOfFilter } from './selection.js';
import { date, number, rich, t } from './text.js';
import {
  Choice, Criteria, Empty, Failure, Loading, Name, Page, PeoplePicker, Shown, Table, When, address, announce, columnsOf, go,
  html, useAnswer,
} from './ui.js';
import { Author, CancelButton, Changes, Outcome, Progress, State, Target, UndoButton, changes, isOver, useJob } from './work.js';

/** @typedef {import('./selection.js').Filter} Filter */
/** @typedef {import('./types').Job} Job */

const STATES = /** @type {const} */ (['queued', 'running', 'done', 'failed', 'cancelled']);
const KINDS = /** @type {const} */ (['contact', 'contacts', 'filter', 'undo', 'preview', 'snapshot']);
const ROWS = 25;

/**
 * The list of jobs. One question keeps all of its rows up to date while a job is open.
 *
 * @param {import('./app.js').ViewProperties} properties
 */
export function Jobs({ query }) {
  const asked = new URLSearchParams(query);
  asked.set('count', String(ROWS));
  const list = useAnswer('crm/access/jobs', asked);
  const jobs = /** @type {Job[]} */ (list.answer?.response ?? []);
  const open = jobs.filter((job) => !isOver(job)).length;
  const text = asked.toString();
  const [failure, setFailure] = useState(/** @type {unknown} */ (null));
  useEffect(() => {
    if (open === 0) return;
    return watch({
      path: 'crm/access/jobs', query: new URLSearchParams(text), etag: list.answer?.etag,
      onAnswer: (answer) => {
        list.put(answer);
        return answer.response.some((/** @type {Job} */ job) => !isOver(job));
      },
      onError: setFailure,
    });
  }, [open > 0, text]);
  // A list that was read is newer than a failure of the poller.
  useEffect(() => setFailure(null), [list.answer]);
  useEffect(() => {
    if (open > 0) announce(t('jobs.open', { n: open }));
  }, [open]);

  const turn = (/** @type {string} */ name, /** @type {string} */ value) => {
    const next = new URLSearchParams(query);
    next.delete('before');
    value === '' ? next.delete(name) : next.set(name, value);
    go(address('jobs', next));
  };
  /** @type {import('./ui.js').Column<Job>[]} */
  const columns = [
    {
      key: 'created', title: t('job.created'), head: true,
      cell: (job) => html`<a href=${address('job', {}, job.id)}><${When} at=${job.created} /></a>`,
    },
    { key: 'by', title: t('job.author'), cell: (job) => html`<${Author} by=${job.createdBy} rule=${job.rule} />` },
    {
      key: 'kind', title: t('job.kind'),
      cell: (job) => html`${kind(job)}${job.note && html`<span class="quiet kind"><${Name}>${job.note}<//></span>`}`,
    },
    { key: 'target', title: t('job.target'), cell: (job) => html`<${Target} of=${job.target} />` },
    {
      key: 'state', title: t('job.state'),
      cell: (job) => (isOver(job) ? html`<${State} job=${job} />` : html`<${Progress} job=${job} />`),
    },
    { key: 'updated', title: t('job.counts'), number: true, cell: (job) => (changes(job) ? number(job.updated) : '–') },
    { key: 'do', title: t('job.actions'), cell: (job) => html`<${CancelButton} job=${job} onChange=${list.reload} />
      <${UndoButton} job=${job} onStarted=${(/** @type {Job} */ started) => go(address('job', {}, started.id))} />` },
  ];
  return html`<${Page} title=${t('jobs.title')}>
    <div class="stack">
      <${Daily} />
      <${JobFilter} query=${query} turn=${turn} />
      ${failure && html`<${Failure} error=${failure} />`}
      <${Shown} of=${list}>${() =>
        jobs.length === 0
          ? html`<${Empty} title=${t(list.answer?.next ? 'jobs.none.here' : 'jobs.none')}><p>${t('jobs.none.hint')}</p><//>`
          : html`<${Table} caption=${t('jobs.caption')} columns=${columns} rows=${jobs} keyOf=${(/** @type {Job} */ job) => job.id} />`}<//>
      <nav class="actions" aria-label=${t('page')}>
        ${query.has('before') && html`<button type="button" onClick=${() => turn('before', '')}>${t('jobs.newest')}</button>`}
        ${list.answer?.next && html`<a class="button" href=${older(query, list.answer.next)}>${t('jobs.older')}</a>`}
      </nav>
    </div><//>`;
}

/** @param {Job} job */
const kind = (job) => t(`job.kind.${job.kind}`);

/** @param {URLSearchParams} query @param {string} before */
function older(query, before) {
  const next = new URLSearchParams(query);
  next.set('before', before);
  return address('jobs', next);
}

/** @param {{query: URLSearchParams, turn: (name: string, value: string) => void}} properties */
function JobFilter({ query, turn }) {
  const one = (/** @type {string} */ name) => query.get(name) ?? '';
  const typed = (/** @type {string} */ name, /** @type {string} */ label, /** @type {string} */ type) =>
    html`<${Typed} key=${name} label=${label} type=${type} value=${one(name)} onChange=${(/** @type {string} */ value) => turn(name, value)} />`;
  const isFiltered = [...query.keys()].some((name) => name !== 'before');
  return html`<${Criteria} open=${isFiltered} layout="filters">
    <${Choice} label=${t('job.state')} value=${one('state')} onChange=${(/** @type {string} */ value) => turn('state', value)}
      options=${[['', t('filter.any')], ...STATES.map((state) => [state, t(`job.state.${state}`)])]} />
    <${Choice} label=${t('job.kind')} value=${one('kind')} onChange=${(/** @type {string} */ value) => turn('kind', value)}
      options=${[['', t('filter.any')], ...KINDS.map((one) => [one, t(`job.kind.${one}`)])]} />
    <${PeoplePicker} label=${t('jobs.filter.user')} single chosen=${query.getAll('userId')} onChange=${(/** @type {string[]} */ ids) => turn('userId', ids[0] ?? '')} />
    ${typed('rule', t('jobs.filter.rule'), 'text')}${typed('contactid', t('jobs.filter.contactid'), 'text')}
    ${typed('from', t('filter.from'), 'date')}${typed('to', t('filter.to'), 'date')}
  <//>`;
}

/** The contacts that were changed on each of the last ninety days. */
function Daily() {
  const daily = useAnswer('crm/access/jobs/daily');
  return html`<${Shown} of=${daily} lines=${4}>${(/** @type {import('./api.js').Answer} */ { response }) => {
    const days = /** @type {{date: string, contacts: number, jobs: number}[]} */ (response);
    const columns = days.map((day) => ({ key: day.date, value: day.contacts, name: t('jobs.daily.bar', { n: day.contacts, day: date(day.date) }) }));
    const table = {
      rows: [...days].reverse(), keyOf: (/** @type {any} */ day) => day.date, columns: columnsOf([
        { key: 'day', title: t('jobs.daily.day'), head: true, cell: (day) => date(day.date) },
        { key: 'contacts', title: t('contacts.title'), number: true, cell: (day) => number(day.contacts) },
        { key: 'jobs', title: t('jobs.title'), number: true, cell: (day) => number(day.jobs) },
      ]),
    };
    return html`<${Chart} title=${t('jobs.daily')} table=${table}>
      ${days.some((day) => day.contacts > 0)
        ? html`<${Columns} label=${t('jobs.daily')} columns=${columns} mark=${date} number=${number} />`
        : html`<p class="quiet">${t('jobs.daily.none')}</p>`}<//>`;
  }}<//>`;
}

/**
 * One job.
 *
 * @param {import('./app.js').ViewProperties} properties
 */
export function Job({ subject }) {
  const { job, error, put } = useJob(subject);
  const choices = useChoices();
  if (error && !job) return html`<${Page} title=${t('job.title')}><${Failure} error=${error} /><//>`;
  if (!job) return html`<${Page} title=${t('job.title')}><${Loading} /><//>`;
  const others = /** @type {const} */ ([['job.undo-of', 'job.undo-of.job', job.undoOf], ['job.apply-of', 'job.apply-of.job', job.applyOf]]);
  const fact = (/** @type {import('./text.js').Key} */ key, /** @type {any} */ value) => value && html`<dt>${t(key)}</dt><dd>${value}</dd>`;
  const actions = html`<${CancelButton} job=${job} onChange=${put} />
    <${UndoButton} job=${job} onStarted=${(/** @type {Job} */ started) => go(address('job', {}, started.id))} />`;
  return html`<${Page} title=${`${kind(job)} – ${t('job.title')}`} name=${html`${kind(job)} <span class="quiet"><${When} at=${job.created} /></span>`} actions=${actions}>
    <div class="stack">
      ${error && html`<${Failure} error=${error} />`}
      <${UnreadChoices} of=${choices} />
      <section class="panel stack" aria-label=${t('job.title')}>
        <div class="actions"><${State} job=${job} /></div>
        <${Progress} job=${job} spoken />
        <${Outcome} job=${job} />
        <dl class="facts">
          ${fact('job.author', html`<${Author} by=${job.createdBy} rule=${job.rule} />`)}
          ${fact('job.note', job.note && html`<${Name}>${job.note}<//>`)}
          ${job.filter && fact('contacts.title', html`<${ViewWords} view=${job.filter} choices=${choices}>${(/** @type {Filter} */ filter) =>
            html`<li><a href=${address('contacts', queryOfFilter(filter))}>${t('rules.filter.show')}</a></li>`}<//>`)}
          ${fact('job.target', job.target && html`<${Target} of=${job.target} />`)}
          ${others.map(([key, name, id]) => id && html`<dt>${t('job.origin')}</dt><dd>${rich(key, { job: html`<a href=${address('job', {}, id)}>${t(name)}</a>` })}</dd>`)}
          ${fact('job.created', html`<${When} at=${job.created} />`)}
          ${fact('job.started', job.started && html`<${When} at=${job.started} />`)}
          ${fact('job.finished', job.finished && html`<${When} at=${job.finished} />`)}
          ${fact('contact.reason', job.error)}
        </dl>
      </section>
      ${job.kind !== 'snapshot' && isOver(job) && html`<${Changes} id=${job.id} caption=${t('job.changes')} count=${job.updated} />`}
    </div><//>`;
}
