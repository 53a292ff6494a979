/** Jobs as every view shows them: progress, results, changes, cancelling and undoing; and dialogs. */

import { useEffect, useId, useLayoutEffect, useRef, useState } from './hooks.js';
import { ApiError, call, get, mayPass, once, watch } from './api.js';
import { contactClauses, peopleClauses } from './effect.js';
import { rich, t, time } from './text.js';
import {
  AccessWord, Failure, Field, Loading, Name, Names, Table, address, announce, html, stayer, useAction, usePeople,
} from './ui.js';

/** @typedef {import('./types').Job} Job */
/** @typedef {import('./ui.js').Children} Children */
/** @typedef {import('./ui.js').Person} Person */

/** The number of changes on the first page of a table and on each further page. */
const CHANGES = 25;
/** The per cent at which users of screen readers hear of a job's progress. */
const ANNOUNCED = [25, 50, 75];

/**
 * The access before or after a change. People who are in only one of the two lists come first, so that a shortened list
 * shows the difference.
 *
 * @param {{of: Present | null | undefined, other?: Present | null}} properties
 * @typedef {{shareType: number, accessList: Person[]}} Present
 */
export function AccessState({ of, other }) {
  if (!of) return html`<span class="quiet">–</span>`;
  const common = new Set(other?.accessList.map((one) => one.id));
  const people = [...of.accessList.filter((one) => !common.has(one.id)), ...of.accessList.filter((one) => common.has(one.id))];
  return html`<span class="access-state"><${AccessWord} shareType=${of.shareType} />
    ${(of.shareType === 0 || people.length > 0) && html`<${Names} people=${people} />`}</span>`;
}

/**
 * A modal dialog. The browser keeps the focus inside and closes on Escape; closing returns the focus to its origin.
 *
 * @param {{title: string, onClose: () => void, children?: Children, footer?: Children}} properties
 */
export function Dialog({ title, onClose, children, footer }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const id = useId();
  useLayoutEffect(() => {
    const origin = document.activeElement;
    const shown = dialog.current;
    shown?.showModal();
    return () => {
      // An open modal dialog keeps the focus, so the dialog closes first.
      shown?.close();
      if (origin instanceof HTMLElement && origin.isConnected) origin.focus();
    };
  }, []);
  const close = (/** @type {Event} */ event) => {
    event.preventDefault();
    onClose();
  };
  return html`<dialog ref=${dialog} aria-labelledby=${id} onCancel=${close}>
    <div class="dialog-head"><h2 id=${id}>${title}</h2>
      <button type="button" class="plain" aria-label=${t('close')} onClick=${onClose}><span aria-hidden="true">✕</span></button></div>
    <div class="dialog-body">${children}</div>
    ${footer && html`<div class="dialog-foot">${footer}</div>`}
  </dialog>`;
}

/**
 * The field for the note that a job keeps. After a lost answer the change may have been made, so another attempt carries
 * the same note and the same key.
 *
 * @param {{note: string, onChange: (note: string) => void, error?: unknown}} properties `error`: the failure of the attempt before.
 */
export function NoteField({ note, onChange, error }) {
  const fixed = mayPass(error);
  return html`<${Field} label=${t('access.note')} hint=${t(fixed ? 'access.note.fixed' : 'access.note.hint')}>${(/** @type {string} */ id, /** @type {string} */ described) =>
    html`<input id=${id} type="text" maxlength="200" autocomplete="off" aria-describedby=${described} value=${note} readonly=${fixed}
      onInput=${(/** @type {any} */ event) => onChange(event.target.value)} />`}<//>`;
}

/** The query that carries a note; an empty note is none. @param {string} note */
export const noted = (note) => (note.trim() ? { note: note.trim() } : undefined);

/** Takes the focus to a heading that has just appeared. @param {HTMLElement | null} heading */
export function arrive(heading) {
  heading?.focus({ preventScroll: true });
  heading?.scrollIntoView({ block: 'start' });
}

/** Returns whether nothing about a job will change any more. @param {Job} job */
export const isOver = (job) => job.state === 'done' || job.state === 'failed' || (job.state === 'cancelled' && job.finished !== null);

/** Returns whether a job of this kind changes contacts. @param {Job} job */
export const changes = (job) => job.kind !== 'preview' && job.kind !== 'snapshot';

/** Returns whether an undo may have something to restore. @param {Job} job */
const isUndoable = (job) => isOver(job) && job.updated > 0 && changes(job);

/**
 * Follows a job until it is over.
 *
 * @param {string | null} id
 * @returns {{job: Job | null, error: unknown, put: (job: Job) => void}}
 */
export function useJob(id) {
  const [state, set] = useState(/** @type {{id: string | null, job: Job | null, error: unknown}} */ ({ id, job: null, error: null }));
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (!id) return;
    let stop = () => {};
    let left = false;
    const path = `crm/access/jobs/${id}`;
    const take = (/** @type {import('./api.js').Answer} */ { response }) => {
      if (!left) set({ id, job: response, error: null });
      return !isOver(response);
    };
    const follow = (/** @type {string | null} */ etag) => {
      stop = watch({ path, etag, onAnswer: take, onError: (error) => set((before) => ({ ...before, error })) });
    };
    get(path).then(
      (answer) => {
        if (take(answer) && !left) follow(answer.etag);
      },
      (error) => {
        if (left) return;
        set({ id, job: null, error });
        if (mayPass(error)) follow(null);
      },
    );
    return () => {
      left = true;
      stop();
    };
  }, [id, turn]);
  const put = (/** @type {Job} */ job) => {
    set({ id, job, error: null });
    setTurn((before) => before + 1);
  };
  return { job: state.id === id ? state.job : null, error: state.id === id ? state.error : null, put };
}

/** Returns the effect of a preview as screen readers hear it: without the names of people. @param {Job} job @returns {string} */
export function effectText(job) {
  const people = peopleClauses(job).map(({ key, n, you = 0 }) => t(key, { n, you }));
  const clauses = people.length > 0 ? people.reduce((first, second) => t('effect.and', { first, second })) : '';
  return [t('job.would', { n: job.updated }), clauses && t('effect.sentence', { clauses })].filter(Boolean).join(' ');
}

/** The effect of a preview, as one sentence. @param {{job: Job}} properties */
export function EffectWords({ job }) {
  const clauses = [...contactClauses(job), ...peopleClauses(job)];
  const people = usePeople(clauses.flatMap(({ give = [], take = [] }) => [...give, ...take]));
  const named = (/** @type {string[]} */ ids = []) => html`<${Names} people=${people.filter((one) => ids.includes(one.id))} most=${4} />`;
  const words = clauses.map(({ key, n, you, give, take }) => rich(key, { n, you, give: named(give), take: named(take) }));
  return html`<span>${rich('effect.sentence', { clauses: words.reduce((first, second) => rich('effect.and', { first, second })) })}</span>`;
}

/** Returns the sentences about the contacts of a job. @param {Job} job @returns {string[]} */
function sentences(job) {
  if (job.kind === 'snapshot') return [t('job.counted', { n: job.matched })];
  return [
    t(job.kind === 'preview' ? 'job.would' : 'job.updated', { n: job.updated }),
    ...(job.unchanged > 0 ? [t('job.unchanged', { n: job.unchanged })] : []),
    ...(job.skipped > 0 ? [t('job.skipped', { n: job.skipped })] : []),
    ...(job.conflicts > 0 ? [t('job.conflicts', { n: job.conflicts })] : []),
    ...(job.failed > 0 ? [t('job.failed', { n: job.failed })] : []),
  ];
}

/** The sentences about a job, the first one large. @param {{job: Job}} properties */
export function Outcome({ job }) {
  const [first, ...others] = sentences(job);
  const hasEffect = job.kind === 'preview' && job.state === 'done' && job.updated > 0;
  return html`<div class="stack tight"><p class="big">${hasEffect ? html`<${EffectWords} job=${job} />` : first}</p>${others.map((one) => html`<p>${one}</p>`)}</div>`;
}

/** The sentences about a preview that ended without a result. @param {{job: Job}} properties */
export function NoPreview({ job }) {
  return html`<p>${t(job.state === 'cancelled' ? 'access.preview.cancelled' : 'access.preview.failed')}</p>${job.error && html`<p>${job.error}</p>`}`;
}

/** @param {{job: Job}} properties */
export function State({ job }) {
  const key = job.state === 'cancelled' && !job.finished ? 'stopping' : job.state;
  return html`<span class=${`state state-${job.state}`}>${t(/** @type {any} */ (`job.state.${key}`))}</span>`;
}

/**
 * The moving bar of a job, with its speed and its estimated end. Screen readers hear of a quarter, half, three quarters
 * and the end, if `spoken` is set: one job of a page speaks.
 *
 * @param {{job: Job, spoken?: boolean}} properties
 */
export function Progress({ job, spoken }) {
  const said = useRef(isOver(job) ? 100 : 0);
  useEffect(() => {
    if (!spoken) return;
    if (isOver(job)) {
      if (said.current < 100) announce(t('job.announce.done', { sentence: [t(/** @type {any} */ (`job.state.${job.state}`)), ...sentences(job)].join(' ') }));
      said.current = 100;
      return;
    }
    const reached = ANNOUNCED.filter((percent) => percent <= job.percent).at(-1) ?? 0;
    if (reached > said.current) {
      said.current = reached;
      announce(t('job.announce', { percent: reached }));
    }
  }, [job.percent, job.state, spoken]);
  if (isOver(job)) return null;
  const parts = [
    t('job.percent', { percent: job.percent }),
    job.perSecond > 0 && t('job.speed', { n: Math.round(job.perSecond) }),
    job.estimatedEnd && t('job.end', { time: time(job.estimatedEnd, 'clock') }),
  ];
  return html`<div class="progress">
    <progress max="100" value=${job.percent} aria-label=${t('job.progress')}></progress>
    <p>${parts.filter(Boolean).join(' · ')}</p>
  </div>`;
}

/**
 * The access that a job or a rule gives.
 *
 * @param {{of: import('./types').Target | null}} properties
 */
export function Target({ of }) {
  const { isPrivate, managerList, addManagers = [], removeManagers = [] } = of ?? {};
  const people = usePeople([...(managerList ?? []), ...addManagers, ...removeManagers]);
  if (!of) return html`<span class="quiet">–</span>`;
  const names = (/** @type {string[]} */ ids) => ({ names: html`<${Names} people=${people.filter((one) => ids.includes(one.id))} most=${6} />` });
  const parts = [
    isPrivate !== undefined && t(isPrivate ? 'private' : 'shared'),
    addManagers.length > 0 && rich('target.give', names(addManagers)),
    removeManagers.length > 0 && rich('target.take', names(removeManagers)),
    managerList && (managerList.length > 0 ? rich('target.replace', names(managerList)) : t('target.admins')),
  ].filter(Boolean);
  return html`<span>${parts.map((part, at) => html`${at > 0 && ' · '}${part}`)}</span>`;
}

/**
 * The states before and after a job, a page at a time.
 *
 * @param {{id: string, caption: string, count: number}} properties `count` makes the table read again when the job goes on.
 */
export function Changes({ id, caption, count }) {
  const [state, set] = useState(/** @type {{rows: import('./types').Change[], next: number | null, error: unknown, read: boolean}} */ ({ rows: [], next: 0, error: null, read: false }));
  const load = async (/** @type {number} */ from) => {
    try {
      const { response, headers } = await get(`crm/access/jobs/${id}/changes`, { query: { startIndex: from, count: CHANGES } });
      const next = headers.get('X-Next-Index');
      // The button may be pressed twice before the first answer.
      set((before) => from !== 0 && from !== before.next && from !== before.rows.length ? before : ({
        rows: from === 0 ? response : [...before.rows, ...response],
        next: next ? Number(next) : response.length === CHANGES ? from + CHANGES : null, error: null, read: true,
      }));
    } catch (error) {
      set((before) => ({ ...before, error, read: true }));
    }
  };
  useEffect(() => {
    load(0);
  }, [id, count]);
  if (state.error instanceof ApiError && state.error.status === 410) return html`<p class="quiet">${t('job.changes.expired')}</p>`;
  if (state.error) return html`<${Failure} error=${state.error} retry=${() => load(state.rows.length)} />`;
  if (!state.read) return html`<${Loading} lines=${4} />`;
  if (state.rows.length === 0) return html`<p class="quiet">${t('job.changes.none')}</p>`;
  /** @type {import('./ui.js').Column<import('./types').Change>[]} */
  const columns = [
    { key: 'name', title: t('access.contact'), head: true, wide: true, cell: (row) =>
      html`<a href=${address('contact', {}, row.contactId)}>${row.displayName ? html`<${Name}>${row.displayName}<//>` : t('job.hidden', { id: String(row.contactId) })}</a>` },
    {
      key: 'before', title: t('access.before'), wide: true,
      cell: (row) => (row.conflict ? t('job.conflict') : html`<${AccessState} of=${row.before} other=${row.after} />`),
    },
    { key: 'after', title: t('access.after'), wide: true, cell: (row) => html`<${AccessState} of=${row.after} other=${row.before} />` },
  ];
  return html`<${Table} caption=${caption} seen columns=${columns} rows=${state.rows} keyOf=${(/** @type {import('./types').Change} */ row) => row.contactId} />
    ${state.next !== null && html`<p class="actions"><button type="button" onClick=${() => load(/** @type {number} */ (state.next))}>${t('access.more-changes')}</button></p>`}`;
}

/**
 * Stops a job.
 *
 * @param {{job: Job, onChange: (job: Job) => void}} properties
 */
export function CancelButton({ job, onChange }) {
  const action = useAction();
  if (isOver(job) || job.state === 'cancelled') return null;
  const cancel = () =>
    action.run(async () => {
      const { response } = await call('POST', `crm/access/jobs/${job.id}/cancel`, { key: `cancel-${job.id}` });
      announce(t(changes(job) ? 'job.cancelled' : 'job.cancelled.reads'));
      onChange(response);
    });
  return html`<button type="button" aria-disabled=${String(action.busy)} onClick=${cancel}>${t('job.cancel')}</button>
    ${action.error && html`<${Failure} error=${action.error} />`}`;
}

/**
 * Undoes a job, after a preview of what the undo would restore.
 *
 * @param {{job: Job, onStarted: (job: Job) => void}} properties
 */
export function UndoButton({ job, onStarted }) {
  const [open, setOpen] = useState(false);
  const [preview, setPreview] = useState(/** @type {any} */ (null));
  const [note, setNote] = useState('');
  const reading = useAction();
  const action = useAction();
  if (!isUndoable(job)) return null;
  const path = `crm/access/jobs/${job.id}/undo`;
  // The service refuses to count very many contacts, but the undo itself has no limit of time.
  const uncounted = reading.error instanceof ApiError && reading.error.type === 'not-counted-in-time';
  const restores = uncounted || preview?.updated > 0;
  const count = () =>
    reading.run(async () => {
      const { response, headers } = await call('POST', path, { query: { dryRun: true } });
      setPreview({ ...response, at: Date.parse(headers.get('Date') ?? '') });
    });
  /**
   * Starts the undo. Two tabs that show the same numbers have the same key, and so start one job. A job that is older than
   * the numbers is an undo that failed before: this undo is another one.
   */
  const start = async () => {
    const anew = () => once(`undo ${job.id} ${note}`, (key) => call('POST', path, { query: noted(note), key }));
    if (!preview) return (await anew()).response;
    const key = `undo-${job.id}-${preview.updated}-${preview.conflicts}`;
    try {
      const { response } = await call('POST', path, { query: noted(note), key });
      if (!(Date.parse(response.created) < preview.at)) return response;
    } catch (error) {
      // A call with another note must have another key.
      if (!(error instanceof ApiError && error.type === 'idempotency-key-reused')) throw error;
    }
    return (await anew()).response;
  };
  const show = () => {
    setPreview(null);
    setNote('');
    action.forget();
    setOpen(true);
    count();
  };
  const confirm = () =>
    action.run(async () => {
      const stays = stayer();
      const response = await start();
      setOpen(false);
      if (stays()) onStarted(response);
    });
  return html`<button type="button" onClick=${show}>${t('job.undo')}</button>
    ${open &&
    html`<${Dialog} title=${t('job.undo.title')} onClose=${() => setOpen(false)}
      footer=${html`<button type="button" onClick=${() => setOpen(false)}>${t('close')}</button>
        <button type="button" class="primary" disabled=${!restores} aria-disabled=${String(action.busy)} onClick=${confirm}>
          ${preview ? t('job.undo.confirm', { n: preview.updated }) : t('job.undo.confirm.uncounted')}</button>`}>
      ${reading.error && !uncounted && html`<${Failure} error=${reading.error} retry=${count} />`}
      ${action.error && html`<${Failure} error=${action.error} retry=${confirm} />`}
      ${uncounted ? html`<p role="status">${t('job.undo.uncounted')}</p>`
        : preview ? html`<div role="status" class="stack tight"><p class="big">${preview.updated > 0 ? t('job.undo.n', { n: preview.updated }) : t('job.undo.none')}</p>
            ${preview.conflicts > 0 && html`<p>${t('job.undo.conflicts', { n: preview.conflicts })}</p>`}
            ${preview.skipped > 0 && html`<p>${t('job.undo.skipped', { n: preview.skipped })}</p>`}</div>`
        : !reading.error && html`<p role="status">${t('job.undo.counting')}</p>`}
      ${restores && html`<${NoteField} note=${note} onChange=${setNote} error=${action.error} />`}
      ${(uncounted || preview) && html`<p class="hint">${t('job.undo.note')}</p>`}
    <//>`}`;
}

/**
 * The author of a job or of a rule. A job without an author was started by the operator's schedule.
 *
 * @param {{by: string | null | undefined, rule?: string | null}} properties `by` is the identifier of a person.
 */
export function Author({ by, rule }) {
  const [one] = usePeople(by ? [by] : []);
  return html`<span>${one ? html`<${Name}>${one.displayName}<//>` : t('job.by.schedule')}
    ${rule && html`<span class="quiet kind">${rich('job.by.rule', { name: html`<a href=${address('rule', {}, rule)}><${Name}>${rule}<//></a>` })}</span>`}</span>`;
}
