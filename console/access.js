/**
 * Setting access: the request, the preview of its effect, the confirmation and the result.
 *
 * The address holds the selected contacts, the request and the preview, so that a reload and a second tab show the same.
 * A preview is a job, and its run changes what this job recorded. Beside a preview the page therefore shows the filter and
 * the access of the job, not those of the address. The key of the confirmation comes from the preview: one preview has at
 * most one run.
 */

import { useEffect, useId, useState } from './hooks.js';
import { call, get, mayPass, newKey } from './api.js';
import { MAX_TICKED, changeOfFilter, queryOfFilter, selectedIn } from './selection.js';
import { rich, t, time, typedNumber } from './text.js';
import {
  Empty, Failure, Field, Loading, Name, Names, Page, PeoplePicker, Shown, Table, address, announce, columnsOf, go, html, nameOf, stayer,
  useAction, useAnswer, usePeople,
} from './ui.js';
import { FilterWords, UnreadChoices, ViewWords, useChoices, useTotal } from './contacts.js';
import {
  CancelButton, Changes, EffectWords, NoPreview, NoteField, Outcome, Progress, State, Target, UndoButton, arrive, effectText, isOver, noted, useJob,
} from './work.js';

/** @typedef {'edit' | 'replace'} Mode */
/** @typedef {'keep' | 'private' | 'shared'} Visibility */
/**
 * A request: `give` and `take` change each list, or `list` replaces each list. The mode decides which of these count, so
 * that a form keeps people while the user compares the modes.
 *
 * @typedef {{mode: Mode, give: string[], take: string[], list: string[], visibility: Visibility}} Request
 */
/** @typedef {import('./types').Job} Job */
/** @typedef {import('./types').Target} Target */
/** @typedef {import('./types').AffectedUsers} Affected */
/** @typedef {NonNullable<ReturnType<typeof selectedIn>>} Selected */
/** @typedef {(changes: Record<string, string | null>, how?: 'push' | 'replace') => void} Turn */

const MODES = /** @type {const} */ (['edit', 'replace']);
const VISIBILITIES = /** @type {const} */ (['keep', 'private', 'shared']);
/** A change of more contacts needs their number typed, and so does a change of a larger part of the portal. */
const TYPED_ABOVE = 1000;
const TYPED_PART = 10;
/** The number of contacts from which the page reads the present access of a filter's contacts. */
const SAMPLE = 100;
/** The number of ticked contacts whose names and present access the page reads. */
const TICKED_SAMPLE = 10;

/** The request of an empty form. @type {Request} */
export const NEW_REQUEST = { mode: 'edit', give: [], take: [], list: [], visibility: 'keep' };

/** Returns the request that an address holds. @param {URLSearchParams} query @returns {Request} */
function requestIn(query) {
  const people = (/** @type {string} */ name) => (query.get(name) ?? '').split('.').filter(Boolean);
  return {
    mode: MODES.find((one) => one === query.get('mode')) ?? 'edit',
    give: people('give'), take: people('take'), list: people('list'),
    visibility: VISIBILITIES.find((one) => one === query.get('visibility')) ?? 'keep',
  };
}

/** Reads the request from the target of a rule. @param {Target} target @returns {Request} */
export function requestOf({ isPrivate, managerList, addManagers = [], removeManagers = [] }) {
  return {
    mode: managerList ? 'replace' : 'edit', give: addManagers, take: removeManagers, list: managerList ?? [],
    visibility: typeof isPrivate !== 'boolean' ? 'keep' : isPrivate ? 'private' : 'shared',
  };
}

/** Returns the fields of a call or of a rule's target. @param {Request} request @returns {Target} */
export function targetOf({ mode, give, take, list, visibility }) {
  return {
    ...(visibility !== 'keep' && { isPrivate: visibility === 'private' }),
    // Without any list, a call would empty the lists.
    ...(mode === 'replace' ? { managerList: list } : { addManagers: give, ...(take.length > 0 && { removeManagers: take }) }),
  };
}

/**
 * Returns the message about an incomplete request.
 *
 * @param {Request} request
 * @returns {import('./ui.js').Children}
 */
export function useMissing({ mode, give, take, visibility }) {
  const both = usePeople(give.filter((id) => take.includes(id)));
  if (mode === 'replace') return visibility === 'keep' ? t('access.needs-visibility') : null;
  if (both.length > 0) return rich('access.needs-one-side', { names: html`<${Names} people=${both} most=${both.length} />` });
  return give.length + take.length === 0 && visibility === 'keep' ? t('access.needs-request') : null;
}

/**
 * The page on which access is set.
 *
 * @param {import('./app.js').ViewProperties} properties
 */
export function SetAccess({ query }) {
  const id = query.get('preview');
  const run = query.get('run');
  const preview = useJob(id);
  const selected = selectedIn(query);
  const note = query.get('note') ?? '';
  if (!selected) {
    return html`<${Page} title=${t('access.title')}><div class="failure" role="alert"><p>${t('access.bad', { n: MAX_TICKED })}</p>
      <p><a href=${address('contacts')}>${t('access.choose')}</a></p></div><//>`;
  }
  /** @type {Turn} */
  const turn = (changes, how = 'replace') => {
    const next = new URLSearchParams(query);
    for (const [name, value] of Object.entries(changes)) value === null || value === '' ? next.delete(name) : next.set(name, value);
    go(address('access', next), how);
  };
  const back = 'filter' in selected ? address('contacts', queryOfFilter(selected.filter)) : address('contacts');
  return html`<${Page} title=${t('access.title')} actions=${html`<a class="button" href=${back}>${t('access.choose')}</a>`}>
    <div class="columns narrow-first">
      <div class="stack">${id ? html`<${Asked} job=${preview.job} note=${note} turn=${turn} />`
        : html`<${Present} selected=${selected} /><${RequestForm} request=${requestIn(query)} typed=${note} turn=${turn} selected=${selected} />`}</div>
      <div class="stack">${run ? html`<${Result} key=${run} id=${run} title=${t('access.result')} total=${preview.job?.updated} />`
        : id ? html`<${Preview} key=${id} of=${preview} note=${note} turn=${turn} />`
        : html`<${Empty} title=${t('job.kind.preview')}><p>${t('access.preview.first')}</p><//>`}</div>
    </div><//>`;
}

/**
 * The selected contacts, and the access that the contacts of a filter have at present.
 *
 * @param {{selected: Selected}} properties
 */
function Present({ selected }) {
  const filter = 'filter' in selected ? selected.filter : null;
  const choices = useChoices();
  const counted = useTotal(filter);
  const total = 'ids' in selected ? { total: selected.ids.length, atLeast: false } : counted.total;
  return html`<section class="panel stack tight" aria-label=${t('access.now')}>
    ${counted.error ? html`<${Failure} error=${counted.error} title=${t('contacts.uncounted')} retry=${counted.retry} />`
      : html`<p class="big">${total ? t(total.atLeast ? 'contacts.at-least' : 'access.of', { n: total.total }) : t('contacts.counting')}</p>`}
    <p>${t(filter ? 'access.of.filter' : 'access.of.ticked')}</p>
    ${filter ? html`<${UnreadChoices} of=${choices} /><${FilterWords} filter=${filter} choices=${choices} /><${FilterAccess} filter=${filter} total=${total} />`
      : 'ids' in selected && html`<${TickedAccess} ids=${selected.ids} />`}
  </section>`;
}

/**
 * The access that the contacts of a filter have at present.
 *
 * @param {{filter: import('./selection.js').Filter, total: import('./contacts.js').Total | null}} properties
 */
function FilterAccess({ filter, total }) {
  const query = queryOfFilter(filter);
  for (const [name, value] of Object.entries({ count: SAMPLE, total: false, fields: 'accessList,isPrivate' })) query.set(name, String(value));
  const first = useAnswer('crm/contact/filter', query);
  return html`<h2>${t('access.now')}</h2><${Shown} of=${first} lines=${3}>${(/** @type {import('./api.js').Answer} */ { response }) => html`
    <${PresentAccess} sample=${response} isPart=${response.length === SAMPLE && (!total || total.total > SAMPLE)} />`}<//>`;
}

/**
 * The names and the present access of ticked contacts. No list of contacts takes numbers, so each contact is a call, and
 * only the first ones are read.
 *
 * @param {{ids: number[]}} properties
 */
function TickedAccess({ ids }) {
  const [state, set] = useState(/** @type {{contacts?: import('./types').Contact[], error?: unknown}} */ ({}));
  const [turn, setTurn] = useState(0);
  const read = ids.slice(0, TICKED_SAMPLE);
  useEffect(() => {
    let left = false;
    set({});
    Promise.all(read.map(async (id) => (await get(`crm/contact/${id}`)).response)).then(
      (contacts) => left || set({ contacts }),
      (error) => left || set({ error }),
    );
    return () => {
      left = true;
    };
  }, [ids.join(), turn]);
  if (state.error) return html`<${Failure} error=${state.error} retry=${() => setTurn(turn + 1)} />`;
  if (!state.contacts) return html`<${Loading} lines=${3} />`;
  const names = state.contacts.map((one, at) => html`${at > 0 && ', '}<${Name}>${one.displayName}<//>`);
  return html`<p>${ids.length > read.length ? rich('list.more', { names, n: ids.length - read.length }) : names}</p>
    <h2>${t('access.now')}</h2><${PresentAccess} sample=${state.contacts} isPart=${ids.length > read.length} />`;
}

/**
 * The access of contacts in words.
 *
 * @param {{sample: import('./types').Contact[], isPart: boolean}} properties `isPart`: the selection has more contacts.
 */
function PresentAccess({ sample, isPart }) {
  const secret = sample.filter((one) => one.isPrivate);
  const lists = new Set(secret.map((one) => one.accessList.map((person) => person.id).sort().join()));
  return html`<div class="stack tight">
    ${sample.length > 0 && html`<p>${[
      secret.length > 0 && t('access.now.private', { n: secret.length }),
      secret.length < sample.length && t('access.now.shared', { n: sample.length - secret.length }),
    ].filter(Boolean).join(', ')}.</p>`}
    <p>${lists.size > 1 ? html`<strong>${t('access.now.mixed')}</strong>`
      : secret.length > 0 && secret[0].accessList.length > 0 ? rich('access.now.same', { names: html`<${Names} people=${secret[0].accessList} />` })
      : t('access.now.same.none')}</p>
    ${isPart && html`<p class="quiet">${t('access.now.sample', { n: sample.length })}</p>`}</div>`;
}

/**
 * The request that a preview recorded.
 *
 * @param {{job: Job | null, note: string, turn: Turn}} properties
 */
function Asked({ job, note, turn }) {
  const choices = useChoices();
  return html`<section class="panel stack" aria-labelledby="request"><h2 id="request">${t('access.request')}</h2>
    <${UnreadChoices} of=${choices} />
    ${job && html`<dl class="facts"><dt>${t('contacts.title')}</dt>
      <dd>${job.filter ? html`<${ViewWords} view=${job.filter} choices=${choices} />` : t('access.of.ticked')}</dd>
      <dt>${t('job.target')}</dt><dd><${Target} of=${job.target} /></dd>
      ${note && html`<dt>${t('job.note')}</dt><dd><${Name}>${note}<//></dd>`}</dl>`}
    <div class="actions"><button type="button" onClick=${() => turn({ preview: null, run: null }, 'push')}>${t('access.edit-form')}</button></div>
  </section>`;
}

/**
 * The request, and the button that previews it.
 *
 * @param {{request: Request, typed: string, selected: Selected, turn: Turn}} properties
 */
function RequestForm({ request, typed, selected, turn }) {
  const action = useAction();
  const [note, setNote] = useState(typed);
  const missing = useMissing(request);
  const preview = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    action.run(async () => {
      const stays = stayer();
      const id = await startPreview(selected, targetOf(request));
      if (!stays()) return;
      // Store the note in the history entry before the preview too, so that Back shows the note.
      turn({ note });
      turn({ note, preview: id, run: null }, 'push');
    });
  };
  return html`<form class="panel stack" onSubmit=${preview} aria-label=${t('access.title')}>
    <${TargetFields} request=${request} onChange=${(/** @type {Partial<Request>} */ part) =>
      turn(Object.fromEntries(Object.entries(part).map(([name, value]) => [name, Array.isArray(value) ? value.join('.') : value])))} />
    <${NoteField} note=${note} onChange=${setNote} />
    ${action.error && html`<${Failure} error=${action.error} />`}
    <div class="actions">
      <button type="submit" class="primary" disabled=${missing !== null} aria-disabled=${String(action.busy)} aria-describedby=${missing ? 'missing' : undefined}>${t('access.preview')}</button>
      ${missing && html`<p class="hint" id="missing">${missing}</p>`}
    </div>
  </form>`;
}

/**
 * The fields that say which access contacts get: for a change, and for a rule.
 *
 * @param {{request: Request, onChange: (part: Partial<Request>) => void}} properties
 */
export function TargetFields({ request, onChange }) {
  const group = useId();
  const radio = (/** @type {keyof Request} */ name, /** @type {string} */ value, /** @type {string} */ text, /** @type {string | false} */ hint, off = false) =>
    html`<label class="check"><input type="radio" name=${`${group}${name}`} checked=${request[name] === value && !off} disabled=${off} onChange=${() => onChange({ [name]: value })} />
      <span>${text}${hint && html`<span class="hint">${hint}</span>`}</span></label>`;
  const people = (/** @type {'give' | 'take' | 'list'} */ name, /** @type {string} */ label) =>
    html`<${PeoplePicker} key=${name} label=${label} chosen=${request[name]} onChange=${(/** @type {string[]} */ ids) => onChange({ [name]: ids })} />`;
  return html`
    <fieldset><legend>${t('access.mode')}</legend><div class="radio-list">
      ${MODES.map((mode) => radio('mode', mode, t(`access.mode.${mode}`), t(`access.mode.${mode}.hint`)))}
    </div></fieldset>
    ${request.mode === 'edit' ? [people('give', t('access.give')), people('take', t('access.take'))] : people('list', t('access.list'))}
    <fieldset><legend>${t('access.visibility')}</legend><div class="radio-list">
      ${VISIBILITIES.map((visibility) => {
        const off = visibility === 'keep' && request.mode === 'replace';
        return radio('visibility', visibility, t(`access.visibility.${visibility}`), off && t('access.visibility.keep.replace'), off);
      })}
    </div></fieldset>`;
}

/**
 * Starts the preview of a change of the selected contacts.
 *
 * @param {Selected} selected
 * @param {Target} target
 * @returns {Promise<string>} The identifier of the preview's job.
 */
export async function startPreview(selected, target) {
  const { path, query, body } = 'ids' in selected
    ? { path: 'crm/contact/access.json', query: new URLSearchParams(), body: tickedBody(selected.ids, target) }
    : changeOf(selected.filter, target);
  query.set('dryRun', 'true');
  return (await call('PUT', path, { query, body, queued: true, key: newKey() })).response.id;
}

/** @param {import('./selection.js').Filter} filter @param {Target} target */
function changeOf(filter, target) {
  const { query, body } = changeOfFilter(filter);
  return { path: 'crm/contact/filter/access.json', query, body: { ...body, ...target } };
}

/** The call for contacts by number says `isShared` where the call for a filter says `isPrivate`. @param {number[]} ids @param {Target} target */
function tickedBody(ids, { isPrivate, ...lists }) {
  return { contactid: ids, ...(isPrivate !== undefined && { isShared: !isPrivate }), ...lists };
}

/**
 * The preview: its progress, its result, or the reason why there is no result.
 *
 * @param {{of: ReturnType<typeof useJob>, note: string, turn: Turn}} properties
 */
function Preview({ of: { job, error, put }, note, turn }) {
  const again = html`<div class="actions"><button type="button" onClick=${() => turn({ preview: null })}>${t('access.new-preview')}</button></div>`;
  if (error && !mayPass(error)) return html`<section class="panel stack"><${Failure} error=${error} title=${t('access.preview.failed')} />${again}</section>`;
  if (job && job.kind !== 'preview') return html`<section class="panel stack"><p>${t('access.preview.other')}</p>${again}</section>`;
  return html`<section class="panel stack" aria-labelledby="preview-title">
    <h2 id="preview-title" tabindex="-1" ref=${arrive}>${t('job.kind.preview')}</h2>
    ${error && html`<${Failure} error=${error} />`}
    ${!job ? !error && html`<${Loading} lines=${3} />`
      : job.state === 'done' ? html`<${Found} job=${job} note=${note} turn=${turn} />`
      : isOver(job) ? html`<${NoPreview} job=${job} />${again}`
      : html`<p>${t('access.preview.working')}</p><${Progress} job=${job} spoken />
        <div class="actions"><${CancelButton} job=${job} onChange=${put} /></div>`}
  </section>`;
}

/**
 * A finished preview: its sentence, its effect on people, before and after, and the confirmation.
 *
 * @param {{job: Job, note: string, turn: Turn}} properties
 */
function Found({ job, note, turn }) {
  const [small, setSmall] = useState(/** @type {boolean | null} */ (job.updated > TYPED_ABOVE ? false : null));
  const [typed, setTyped] = useState('');
  const action = useAction();
  const n = job.updated;
  const none = job.matched === 0 ? t('contacts.none') : job.unchanged === job.matched ? t('access.nothing') : t('job.would', { n: 0 });
  // The change is a small part of the portal if the portal has a contact at ten times its number: no count is needed.
  useEffect(() => {
    if (small !== null || n === 0) return;
    const query = { startIndex: n * TYPED_PART - 1, count: 1, total: false, fields: 'id' };
    get('crm/contact/filter', { query }).then(({ response }) => setSmall(response.length > 0), () => setSmall(false));
  }, []);
  useEffect(() => {
    announce(n === 0 ? none : effectText(job));
  }, []);
  const confirmed = small === true || (small === false && typedNumber(typed) === n);
  const apply = () =>
    action.run(async () => {
      const stays = stayer();
      const { response } = await call('POST', `crm/access/jobs/${job.id}/apply`, { query: noted(note), key: `apply-${job.id}` });
      // A user who has left this page stays on the other page; the list of jobs shows the run.
      if (stays()) turn({ run: response.id });
    });
  const stale = /** @type {any} */ (action.error)?.type === 'preview-expired';
  return html`
    <p class="big">${n === 0 ? none : html`<${EffectWords} job=${job} />`}</p>
    <dl class="figures" aria-label=${t('access.counts')}>
      ${/** @type {const} */ (['matched', 'updated', 'unchanged', 'skipped', 'failed', 'losesAny'])
        .filter((name) => (job[name] ?? 0) > 0 || name === 'matched' || name === 'updated')
        .map((name) => html`<div><dt>${t(`access.count.${name}`)}</dt><dd>${t('list.n', { n: job[name] ?? 0 })}</dd></div>`)}
    </dl>
    ${n > 0 && html`<form class="confirm" onSubmit=${(/** @type {Event} */ event) => {
      event.preventDefault();
      apply();
    }}>
      ${small === false && html`<${TypedCount} n=${n} typed=${typed} onChange=${setTyped} />`}
      <button type="submit" class="primary" disabled=${!confirmed} aria-disabled=${String(action.busy)}>${action.busy ? t('access.applying') : t('access.apply', { n })}</button>
    </form>`}
    ${action.error && html`<${Failure} error=${action.error} title=${stale ? t('access.stale') : undefined} retry=${stale ? () => turn({ preview: null, run: null }) : apply} />`}
    ${job.expires && html`<p class="hint">${t('access.preview.expires', { time: time(job.expires) })}</p>`}
    ${n > 0 && job.loses && html`<div class="columns">
      <${Affects} title=${t('access.loses.title')} of=${job.loses} />
      <${Affects} title=${t('access.gains.title')} of=${job.gains} />
    </div>`}
    ${n > 0 && html`<${Changes} id=${job.id} caption=${t('access.changes')} count=${n} />`}`;
}

/**
 * The field for the number of contacts that change. A wrong number is reported when the field loses the focus.
 *
 * @param {{n: number, typed: string, onChange: (typed: string) => void}} properties
 */
function TypedCount({ n, typed, onChange }) {
  const [left, setLeft] = useState('');
  const value = typedNumber(typed);
  const fault = typed.trim() === '' ? undefined
    : value === null ? t('error.number', { example: n })
    : value !== n && left === typed ? t('access.confirm.other') : undefined;
  return html`<${Field} label=${t('access.confirm', { number: n })} fault=${fault}>${(/** @type {string} */ id, /** @type {string} */ described) =>
    html`<input id=${id} type="text" inputmode="numeric" autocomplete="off" aria-describedby=${described || undefined} aria-invalid=${String(fault !== undefined)} value=${typed}
      onInput=${(/** @type {any} */ event) => onChange(event.target.value)} onChange=${() => setLeft(typed)} />`}<//>`;
}

/**
 * The people who start or stop seeing contacts.
 *
 * @param {{title: string, of: Affected | undefined}} properties
 */
function Affects({ title, of }) {
  const largest = of?.largest ?? [];
  if (largest.length === 0) return html`<div><h3>${title}</h3><p class="quiet">${t('access.effect.none')}</p></div>`;
  return html`<${Table} caption=${title} seen rows=${largest} keyOf=${(/** @type {any} */ one) => one.id} columns=${columnsOf([
    {
      key: 'name', title: t('contact.person'), head: true,
      cell: (one) => html`<a href=${address('who', { userId: one.id })}><${Name}>${nameOf(one)}<//></a>`,
    },
    { key: 'n', title: t('contacts.title'), number: true, cell: (one) => t('list.n', { n: one.contacts }) },
  ])} />`;
}

/**
 * A run or an undo: its progress, and its result with the undo.
 *
 * @param {{id: string, title: string, total?: number}} properties `total` is the number of contacts that were to change.
 */
function Result({ id, title, total }) {
  const { job, error, put } = useJob(id);
  const [undo, setUndo] = useState(/** @type {string | null} */ (null));
  if (error && !job) return html`<section class="panel"><${Failure} error=${error} /></section>`;
  if (!job) return html`<section class="panel"><${Loading} lines=${3} /></section>`;
  return html`<section class="panel stack" aria-labelledby="result-title">
      <h2 id="result-title" tabindex="-1" ref=${arrive}>${title}</h2>
      ${error && html`<${Failure} error=${error} />`}
      <${Progress} job=${job} spoken />
      ${isOver(job) && job.state !== 'done' && html`<p><${State} job=${job} /></p>`}
      ${isOver(job) && html`<${Outcome} job=${job} />`}
      ${isOver(job) && job.state !== 'done' && total !== undefined && html`<p>${t('access.result.rest', { n: total - job.updated, total })}</p>`}
      ${job.error && html`<p class="fault">${job.error}</p>`}
      <div class="actions">
        <${CancelButton} job=${job} onChange=${put} />
        ${!undo && html`<${UndoButton} job=${job} onStarted=${(/** @type {Job} */ started) => setUndo(started.id)} />`}
        <a class="button" href=${address('job', {}, id)}>${t('job.open')}</a>
      </div>
      ${undo && html`<${Result} key=${undo} id=${undo} title=${t('job.kind.undo')} />`}
      ${isOver(job) && !undo && html`<${Changes} id=${id} caption=${t('job.changes')} count=${job.updated} />`}
    </section>`;
}
