/**
 * Setting access: the request, the preview of what it would do, the confirmation and the result.
 *
 * The address holds the selected contacts, the request and the preview, so that a reload and a second tab show the same,
 * and the key of the confirmation comes from the preview: one preview has at most one run.
 */

import { useEffect, useId, useMemo, useState } from './hooks.js';
import { call, get } from './api.js';
import { MAX_TICKED, changeOfFilter, selectedIn, queryOfFilter } from './selection.js';
import { rich, t, time, typedNumber } from './text.js';
import {
  Empty, Failure, Field, Loading, Name, Names, Page, PeoplePicker, Table, address, announce, columnsOf, go, html, partsOf, useAction,
  usePeople,
} from './ui.js';
import { useChoices, useTotal } from './contacts.js';
import { AccessState, CancelButton, Changes, NoteField, Progress, UndoButton, arrive, isOver, noted, sentences, useJob } from './work.js';

/** @typedef {'give' | 'take' | 'replace'} Verb */
/** @typedef {'keep' | 'private' | 'shared'} Visibility */
/** @typedef {{verb: Verb, people: string[], visibility: Visibility, note: string}} Request */
/** @typedef {import('./types').Job} Job */
/** @typedef {import('./types').AffectedUsers} Affected */

const VERBS = /** @type {const} */ (['give', 'take', 'replace']);
const VISIBILITIES = /** @type {const} */ (['keep', 'private', 'shared']);
/** A change of more contacts needs their number typed, and so does a change of a larger part of the portal. */
const TYPED_ABOVE = 1000;
const TYPED_PART = 10;
/** The contacts from which the page tells what access the selection has at present. */
const SAMPLE = 100;
const PEOPLE_PAGE = 1000;
/** The members of a contact that tell its access. */
const STATE = 'id,displayName,accessList,isPrivate,shareType';
const LISTS = /** @type {const} */ ({ give: 'addManagers', take: 'removeManagers', replace: 'managerList' });

/** @param {URLSearchParams} query @returns {Request} */
function requestIn(query) {
  const verb = VERBS.find((one) => one === query.get('verb')) ?? 'give';
  const visibility = VISIBILITIES.find((one) => one === query.get('visibility')) ?? 'keep';
  return { verb, visibility, people: (query.get('people') ?? '').split('.').filter(Boolean), note: query.get('note') ?? '' };
}

/** @param {Request} request @returns {Record<string, unknown>} The fields of a call or of a rule's target. */
export function targetOf({ verb, people, visibility }) {
  return { ...(visibility !== 'keep' && { isPrivate: visibility === 'private' }), [LISTS[verb]]: people };
}

/** @param {Request} request @returns {'access.needs-people' | 'access.needs-visibility' | null} Why a request is not whole. */
export function missingIn({ verb, people, visibility }) {
  if (verb === 'replace') return visibility === 'keep' ? 'access.needs-visibility' : null;
  return people.length === 0 ? 'access.needs-people' : null;
}

/**
 * The page on which access is set.
 *
 * @param {import('./app.js').ViewProperties} properties
 */
export function SetAccess({ query, frame }) {
  const text = query.toString();
  const selected = useMemo(() => selectedIn(query), [text]);
  const choices = useChoices();
  const request = requestIn(query);
  const preview = query.get('preview');
  if (!selected) {
    return html`<${Page} title=${t('access.title')}><div class="failure" role="alert"><p>${t('access.bad', { n: MAX_TICKED })}</p>
      <p><a href=${address('contacts')}>${t('access.choose')}</a></p></div><//>`;
  }
  const turn = (/** @type {Record<string, string | null>} */ changes, /** @type {'push' | 'replace'} */ how = 'replace') => {
    const next = new URLSearchParams(query);
    for (const [name, value] of Object.entries(changes)) value === null || value === '' ? next.delete(name) : next.set(name, value);
    go(address('access', next), how);
  };
  const back = 'filter' in selected ? address('contacts', queryOfFilter(selected.filter)) : address('contacts');
  return html`<${Page} title=${t('access.title')} actions=${html`<a class="button" href=${back}>${t('access.choose')}</a>`}>
    <div class="columns narrow-first">
      <div class="stack">
        <${Present} selected=${selected} choices=${choices} ran=${query.has('run')} />
        <${RequestForm} request=${request} locked=${preview !== null} turn=${turn} selected=${selected} />
      </div>
      <div class="stack">${preview
        ? html`<${Preview} key=${preview} id=${preview} request=${request} turn=${turn} selected=${selected} run=${query.get('run')} you=${frame.you.id} />`
        : html`<${Empty} title=${t('access.preview.title')}><p>${t('access.preview.first')}</p><//>`}</div>
    </div><//>`;
}

/** @typedef {NonNullable<ReturnType<typeof selectedIn>>} Selected */

/**
 * Reads the selected contacts, as far as the page shows them: their number, and the first ones.
 *
 * @param {Selected} selected
 */
function usePresent(selected) {
  const [sample, setSample] = useState(/** @type {any[] | null} */ (null));
  const counted = useTotal('filter' in selected ? selected.filter : null);
  const action = useAction();
  useEffect(() => {
    action.run(async () => {
      if ('filter' in selected) {
        const query = queryOfFilter(selected.filter);
        query.set('count', String(SAMPLE));
        query.set('total', 'false');
        query.set('fields', STATE);
        setSample((await get('crm/contact/filter', { query })).response);
      } else {
        setSample(await readTicked(selected.ids));
      }
    });
  }, [selected]);
  return { error: action.error, sample, counted: 'ids' in selected ? { total: selected.ids.length, atLeast: false } : counted };
}

/**
 * The selected contacts and the access that they have at present. After a run only the job knows what they had.
 *
 * @param {{selected: Selected, choices: import('./ui.js').Choices, ran: boolean}} properties
 */
function Present({ selected, choices, ran }) {
  const { sample, counted, error } = usePresent(selected);
  usePeople('filter' in selected ? selected.filter.responsibleid ?? [] : []);
  if (error) return html`<${Failure} error=${error} />`;
  if (!sample) return html`<div class="panel"><${Loading} lines=${3} /></div>`;
  const secret = sample.filter((one) => one.isPrivate);
  const lists = new Set(secret.map((one) => one.accessList.map((/** @type {any} */ person) => person.id).sort().join()));
  const parts = 'filter' in selected ? partsOf(selected.filter, choices) : [];
  return html`<section class="panel stack tight" aria-label=${t('access.now')}>
    <p class="big">${counted ? t(counted.atLeast ? 'contacts.at-least' : 'access.of', { n: counted.total }) : t('contacts.counting')}</p>
    <p>${'ids' in selected ? t('access.of.ticked') : t('access.of.filter')}</p>
    ${'filter' in selected && html`<ul class="chips">${parts.length > 0 ? parts.map((part) => html`<li class="chip">${part.words}</li>`) : html`<li class="chip">${t('filter.every')}</li>`}</ul>`}
    ${!ran && html`<h2>${t('access.now')}</h2>
    <p>${[
      secret.length > 0 && t('access.now.private', { n: secret.length }),
      secret.length < sample.length && t('access.now.shared', { n: sample.length - secret.length }),
    ].filter(Boolean).join(', ')}.</p>
    <p>${lists.size > 1 ? html`<strong>${t('access.now.mixed')}</strong>`
      : secret.length > 0 && secret[0].accessList.length > 0 ? rich('access.now.same', { names: html`<${Names} people=${secret[0].accessList} />` })
      : t('access.now.same.none')}</p>
    ${sample.length === SAMPLE && (!counted || counted.total > SAMPLE) && html`<p class="quiet">${t('access.now.sample', { n: sample.length })}</p>`}`}
  </section>`;
}

/**
 * The request, and the button that previews it. A request that is being previewed is locked.
 *
 * @param {{request: Request, locked: boolean, selected: Selected, turn: (changes: Record<string, string | null>, how?: 'push' | 'replace') => void}} properties
 */
function RequestForm({ request, locked, selected, turn }) {
  const action = useAction();
  const [note, setNote] = useState(request.note);
  const missing = missingIn(request);
  const preview = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    action.run(async () => {
      const id = await startPreview(selected, { ...request, note });
      turn({ note, preview: id, run: null }, 'push');
    });
  };
  if (locked) {
    return html`<section class="panel stack" aria-labelledby="request"><h2 id="request">${t('access.request')}</h2>
      <dl class="facts"><dt>${t('access.verb')}</dt><dd>${t(`access.verb.${request.verb}`)}</dd>
        <dt>${t('access.people')}</dt><dd><${Chosen} ids=${request.people} /></dd>
        <dt>${t('access.visibility')}</dt><dd>${t(`access.visibility.${request.visibility}`)}</dd>
        ${request.note && html`<dt>${t('job.note')}</dt><dd><${Name}>${request.note}<//></dd>`}</dl>
      <div class="actions"><button type="button" onClick=${() => turn({ preview: null, run: null }, 'push')}>${t('access.edit-form')}</button></div>
    </section>`;
  }
  return html`<form class="panel stack" onSubmit=${preview} aria-label=${t('access.title')}>
    <${TargetFields} request=${request} onChange=${(/** @type {Partial<Request>} */ part) =>
      turn(Object.fromEntries(Object.entries(part).map(([name, value]) => [name, Array.isArray(value) ? value.join('.') : value])))} />
    <${NoteField} note=${note} onChange=${setNote} />
    ${action.error && html`<${Failure} error=${action.error} />`}
    <div class="actions">
      <button type="submit" class="primary" disabled=${missing !== null || action.busy} aria-describedby=${missing ? 'missing' : undefined}>${t('access.preview')}</button>
      ${missing && html`<p class="hint" id="missing">${t(missing)}</p>`}
    </div>
  </form>`;
}

/**
 * The fields that say which access contacts get: for a change, and for a rule.
 *
 * @param {{request: Omit<Request, 'note'>, onChange: (part: Partial<Request>) => void}} properties
 */
export function TargetFields({ request, onChange }) {
  const group = useId();
  const keepNeedsList = request.verb === 'replace';
  const radio = (/** @type {string} */ name, /** @type {boolean} */ on, /** @type {Partial<Request>} */ part, /** @type {string} */ text, /** @type {string | false} */ hint, off = false) =>
    html`<label class="check"><input type="radio" name=${`${group}${name}`} checked=${on} disabled=${off} onChange=${() => onChange(part)} />
      <span>${text}${hint && html`<span class="hint">${hint}</span>`}</span></label>`;
  return html`
    <fieldset><legend>${t('access.verb')}</legend><div class="radio-list">
      ${VERBS.map((verb) => radio('verb', request.verb === verb, { verb }, t(`access.verb.${verb}`), t(`access.verb.${verb}.hint`)))}
    </div></fieldset>
    <${PeoplePicker} label=${t('access.people')} chosen=${request.people} onChange=${(/** @type {string[]} */ people) => onChange({ people })} />
    <fieldset><legend>${t('access.visibility')}</legend><div class="radio-list">
      ${VISIBILITIES.map((visibility) => {
        const off = visibility === 'keep' && keepNeedsList;
        return radio('visibility', request.visibility === visibility, { visibility }, t(`access.visibility.${visibility}`), off && t('access.visibility.keep.replace'), off);
      })}
    </div></fieldset>`;
}

/** @param {{ids: string[]}} properties */
function Chosen({ ids }) {
  return html`<${Names} people=${usePeople(ids)} most=${20} none=${t('nobody')} />`;
}

/**
 * Starts the preview of a request.
 *
 * @param {Selected} selected
 * @param {Request} request
 * @returns {Promise<string>} The job of the preview, or a name for the preview of ticked contacts, which is no job.
 */
async function startPreview(selected, request) {
  if ('ids' in selected) return `ticked-${crypto.randomUUID()}`;
  const { query, body } = changeOfFilter(selected.filter);
  query.set('dryRun', 'true');
  const answer = await call('PUT', 'crm/contact/filter/access.json', { query, body: { ...body, ...targetOf(request) }, queued: true, key: crypto.randomUUID() });
  return answer.response.id;
}

/**
 * The call that sets the access of ticked contacts.
 *
 * @param {number[]} ids
 * @param {Request} request
 * @returns {Record<string, unknown>}
 */
function tickedBody(ids, request) {
  const { isPrivate, ...lists } = targetOf(request);
  return { contactid: ids, ...(isPrivate !== undefined && { isShared: !isPrivate }), ...lists };
}

/**
 * @typedef {object} Previewed What a preview found, whichever way it was made.
 * @property {number} matched
 * @property {number} updated
 * @property {number} unchanged
 * @property {number} skipped
 * @property {number} failed
 * @property {Affected} [gains]
 * @property {Affected} [loses]
 * @property {number} [losesAny] The contacts of which somebody loses sight.
 * @property {string} [expires]
 * @property {any[]} [rows] The changes, if they are known without asking the job.
 */

/**
 * The preview and everything after it.
 *
 * @param {{id: string, request: Request, selected: Selected, run: string | null, you: string, turn: (changes: Record<string, string | null>, how?: 'push' | 'replace') => void}} properties
 */
function Preview({ id, request, selected, run, you, turn }) {
  const ticked = 'ids' in selected;
  const { job, error, put } = useJob(ticked ? null : id);
  const [own, setOwn] = useState(/** @type {Previewed | null} */ (null));
  const reading = useAction();
  const read = () => reading.run(async () => setOwn(await previewTicked(/** @type {any} */ (selected).ids, request, you)));
  useEffect(() => {
    if (ticked && !run) read();
  }, []);
  if (run) return html`<${Result} id=${run} />`;
  const fault = error ?? reading.error;
  if (fault) return html`<section class="panel"><${Failure} error=${fault} title=${t('access.preview.failed')} retry=${ticked ? read : () => turn({ preview: null })} /></section>`;
  const found = own ?? (job?.state === 'done' ? /** @type {Previewed} */ (job) : null);
  return html`<section class="panel stack" aria-labelledby="preview-title">
    <h2 id="preview-title" tabindex="-1" ref=${arrive}>${t('access.preview.title')}</h2>
    ${found ? html`<${Found} found=${found} id=${id} request=${request} selected=${selected} turn=${turn} />`
      : job && isOver(job)
        ? html`<p>${t(job.state === 'cancelled' ? 'access.preview.cancelled' : 'access.preview.failed')}</p>
          ${job.error && html`<p>${job.error}</p>`}
          <div class="actions"><button type="button" onClick=${() => turn({ preview: null })}>${t('access.new-preview')}</button></div>`
      : html`<p>${t('access.preview.working')}</p>
        ${job ? html`<${Progress} job=${job} spoken /><div class="actions"><${CancelButton} job=${job} onChange=${put} /></div>` : html`<${Loading} lines=${3} />`}`}
  </section>`;
}

/**
 * Reads ticked contacts in one call: the preview of a change that changes nothing answers with the present state of each,
 * and fails where the change would fail.
 *
 * @param {number[]} ids
 * @returns {Promise<any[]>}
 */
async function readTicked(ids) {
  const body = { contactid: ids, removeManagers: [crypto.randomUUID()] };
  return (await call('PUT', 'crm/contact/access', { query: { dryRun: true, fields: STATE }, body })).response;
}

/** Reads all users of the portal. @returns {Promise<import('./ui.js').Person[]>} */
async function readPeople() {
  const people = [];
  for (;;) {
    const { response, total } = await get('people/filter', { query: { count: PEOPLE_PAGE, startIndex: people.length } });
    people.push(...response);
    if (response.length === 0 || people.length >= (total ?? 0)) return people;
  }
}

/**
 * Previews the change of ticked contacts: what they have now, and what the service says they would have.
 *
 * @param {number[]} ids
 * @param {Request} request
 * @param {string} you
 * @returns {Promise<Previewed>}
 */
async function previewTicked(ids, request, you) {
  const [present, people, answer] = await Promise.all([
    readTicked(ids), readPeople(), call('PUT', 'crm/contact/access', { query: { dryRun: true, fields: STATE }, body: tickedBody(ids, request) }),
  ]);
  const before = new Map(present.map((one) => [one.id, one]));
  const number = (/** @type {string} */ name) => Number(answer.headers.get(name) ?? 0);
  const rows = answer.response
    .map((/** @type {any} */ after) => ({ contactId: after.id, displayName: after.displayName, before: before.get(after.id), after }))
    .filter((/** @type {any} */ row) => row.before && stateText(row.before) !== stateText(row.after));
  return {
    matched: number('X-Matched-Count'), updated: number('X-Updated-Count'), unchanged: number('X-Unchanged-Count'),
    skipped: number('X-Skipped-Count'), failed: 0, rows, ...effectOf(rows, people, you),
  };
}

/** @param {any} state */
const stateText = (state) => JSON.stringify([state.shareType, state.accessList.map((/** @type {any} */ one) => one.id)]);

/**
 * Counts, for each person who is no administrator, the contacts that the person starts or stops to see.
 *
 * @param {{before: any, after: any}[]} rows
 * @param {import('./ui.js').Person[]} people
 * @param {string} you
 */
function effectOf(rows, people, you) {
  const sees = (/** @type {any} */ state, /** @type {string} */ id) => state.shareType !== 0 || state.accessList.some((/** @type {any} */ one) => one.id === id);
  const users = people.filter((one) => !one.isAdmin);
  const loses = (/** @type {any} */ row, /** @type {string} */ id) => sees(row.before, id) && !sees(row.after, id);
  const count = (/** @type {(row: any, id: string) => boolean} */ of) => {
    const all = users
      .map((one) => ({ id: one.id, displayName: one.displayName, contacts: rows.filter((row) => of(row, one.id)).length }))
      .filter((one) => one.contacts > 0)
      .sort((a, b) => b.contacts - a.contacts);
    return { users: all.length, caller: all.find((one) => one.id === you)?.contacts ?? 0, largest: all.slice(0, SAMPLE) };
  };
  return {
    gains: count((row, id) => !sees(row.before, id) && sees(row.after, id)),
    loses: count(loses),
    losesAny: rows.filter((row) => users.some((one) => loses(row, one.id))).length,
  };
}

/**
 * A finished preview: its sentence, its effect on people, before and after, and the confirmation.
 *
 * @param {{found: Previewed, id: string, request: Request, selected: Selected, turn: (changes: Record<string, string | null>, how?: 'push' | 'replace') => void}} properties
 */
function Found({ found, id, request, selected, turn }) {
  const people = usePeople(request.people);
  const [small, setSmall] = useState(/** @type {boolean | null} */ (found.updated > TYPED_ABOVE ? false : null));
  const [typed, setTyped] = useState('');
  const action = useAction();
  const n = found.updated;
  // The change is a small part of the portal if the portal has a contact at ten times its number: no count is needed.
  useEffect(() => {
    if (small !== null || n === 0) return;
    const query = { startIndex: n * TYPED_PART - 1, count: 1, total: false, fields: 'id' };
    get('crm/contact/filter', { query }).then(({ response }) => setSmall(response.length > 0), () => setSmall(false));
  }, []);
  const typing = small === false;
  const sentence = people.length === 0
    ? t(/** @type {any} */ (`access.${request.visibility}.admins`), { n })
    : rich(/** @type {any} */ (`access.${request.visibility}.${request.verb}`), { n, names: html`<${Names} people=${people} most=${4} />` });
  const usersOf = (/** @type {Affected | undefined} */ affected) => affected?.users ?? 0;
  useEffect(() => {
    announce([n === 0 ? t('access.nothing') : t('job.would', { n }), found.loses && (usersOf(found.loses) > 0 ? t('access.loses', { n: usersOf(found.loses) }) : t('access.loses.none'))].filter(Boolean).join(' '));
  }, []);
  const apply = () =>
    action.run(async () => {
      const query = noted(request.note);
      const answer = 'ids' in selected
        ? await call('PUT', 'crm/contact/access', { query, body: tickedBody(selected.ids, request), queued: true, key: id })
        : await call('POST', `crm/access/jobs/${id}/apply`, { query, key: `apply-${id}` });
      turn({ run: answer.headers.get('X-Job-Id') ?? answer.response.id });
    });
  const stale = /** @type {any} */ (action.error)?.type === 'preview-expired';
  return html`
    ${n === 0 ? html`<p class="big">${t('access.nothing')}</p>` : html`<div class="stack tight">
      <p class="big">${sentence}</p>
      ${found.loses && html`<p>${usersOf(found.loses) > 0 ? t('access.loses', { n: usersOf(found.loses) }) : t('access.loses.none')}
        ${found.loses.caller > 0 && html`${' '}<strong>${t('access.loses.you', { n: found.loses.caller })}</strong>`}
        ${usersOf(found.gains) > 0 && html`${' '}${t('access.gains', { n: usersOf(found.gains) })}`}</p>`}</div>`}
    <dl class="figures" aria-label=${t('access.counts')}>
      ${/** @type {const} */ (['matched', 'updated', 'unchanged', 'skipped', 'failed', 'losesAny'])
        .filter((name) => (found[name] ?? 0) > 0 || name === 'matched' || name === 'updated')
        .map((name) => html`<div><dt>${t(`access.count.${name}`)}</dt><dd>${t('list.n', { n: found[name] ?? 0 })}</dd></div>`)}
    </dl>
    ${n > 0 && html`<form class="confirm" onSubmit=${(/** @type {Event} */ event) => {
      event.preventDefault();
      apply();
    }}>
      ${typing && html`<${Field} label=${t('access.type-number', { number: n })}>${(/** @type {string} */ field) =>
        html`<input id=${field} type="text" inputmode="numeric" autocomplete="off" value=${typed} onInput=${(/** @type {any} */ event) => setTyped(event.target.value)} />`}<//>`}
      <button type="submit" class="primary" disabled=${action.busy || small === null || (typing && typedNumber(typed) !== n)}>
        ${action.busy ? t('access.applying') : t('access.apply', { n })}</button>
    </form>`}
    ${action.error && html`<${Failure} error=${action.error} title=${stale ? t('access.stale') : undefined} retry=${stale ? () => turn({ preview: null, run: null }) : apply} />`}
    ${found.expires && html`<p class="hint">${t('access.preview.expires', { time: time(found.expires) })}</p>`}
    ${n > 0 && found.loses && html`<div class="columns">
      <${Effect} title=${t('access.loses.title')} of=${found.loses} />
      <${Effect} title=${t('access.gains.title')} of=${found.gains} />
    </div>`}
    ${n > 0 && (found.rows
      ? html`<${TickedChanges} rows=${found.rows} updated=${n} />`
      : html`<${Changes} id=${id} caption=${t('access.changes')} count=${n} />`)}`;
}

/**
 * The states of ticked contacts before and after. A contact shows no list while the contact is shared, so contacts whose
 * list alone changes are counted.
 *
 * @param {{rows: any[], updated: number}} properties
 */
function TickedChanges({ rows, updated }) {
  const [shown, setShown] = useState(SAMPLE);
  const lists = updated - rows.length;
  return html`${rows.length > 0 && html`<${Table} caption=${t('access.changes')} seen rows=${rows.slice(0, shown)} keyOf=${(/** @type {any} */ row) => row.contactId} columns=${columnsOf([
      {
        key: 'name', title: t('access.contact'), head: true, wide: true,
        cell: (row) => html`<a href=${address('contact', {}, row.contactId)}><${Name}>${row.displayName}<//></a>`,
      },
      { key: 'before', title: t('access.before'), cell: (row) => html`<${AccessState} of=${row.before} other=${row.after} />` },
      { key: 'after', title: t('access.after'), cell: (row) => html`<${AccessState} of=${row.after} other=${row.before} />` },
    ])} />`}
    ${rows.length > shown && html`<p class="actions"><button type="button" onClick=${() => setShown(shown + SAMPLE)}>${t('access.more-changes')}</button></p>`}
    ${lists > 0 && html`<p>${t('access.changes.lists', { n: lists })}</p>`}`;
}

/**
 * Who starts or stops to see contacts.
 *
 * @param {{title: string, of: Affected | undefined}} properties
 */
function Effect({ title, of }) {
  const largest = of?.largest ?? [];
  if (largest.length === 0) return html`<div><h3>${title}</h3><p class="quiet">${t('access.effect.none')}</p></div>`;
  return html`<${Table} caption=${title} seen rows=${largest} keyOf=${(/** @type {any} */ one) => one.id} columns=${columnsOf([
    {
      key: 'name', title: t('access.effect.person'), head: true,
      cell: (one) => html`<a href=${address('who', { userId: one.id })}><${Name}>${one.displayName}<//></a>`,
    },
    { key: 'n', title: t('access.effect.contacts'), number: true, cell: (one) => t('list.n', { n: one.contacts }) },
  ])} />`;
}

/**
 * The run: its progress, and its result with the undo.
 *
 * @param {{id: string}} properties
 */
function Result({ id }) {
  const { job, error, put } = useJob(id);
  const [undo, setUndo] = useState(/** @type {string | null} */ (null));
  if (error && !job) return html`<section class="panel"><${Failure} error=${error} /></section>`;
  if (!job) return html`<section class="panel"><${Loading} lines=${3} /></section>`;
  return html`<section class="panel stack" aria-labelledby="result-title">
      <h2 id="result-title" tabindex="-1" ref=${arrive}>${t('access.result')}</h2>
      ${error && html`<${Failure} error=${error} />`}
      <${Progress} job=${job} spoken />
      ${isOver(job) && html`<p class="big">${sentences(job)[0]}</p>${sentences(job).slice(1).map((one) => html`<p>${one}</p>`)}`}
      ${job.error && html`<p class="fault">${job.error}</p>`}
      <div class="actions">
        <${CancelButton} job=${job} onChange=${put} />
        ${!undo && html`<${UndoButton} job=${job} onStarted=${(/** @type {Job} */ started) => setUndo(started.id)} />`}
        <a class="button" href=${address('job', {}, id)}>${t('job.open')}</a>
      </div>
      ${undo && html`<${Result} key=${undo} id=${undo} />`}
      ${isOver(job) && !undo && html`<${Changes} id=${id} caption=${t('job.changes')} count=${job.updated} />`}
    </section>`;
}
