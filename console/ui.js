/**
 * The parts that views are made of: the address, the page, tables, dialogs, people, states and messages.
 *
 * The file is long because every view needs these parts: two files would be one more request of the first visit.
 */

import htm from './htm.js';
import { useCallback, useEffect, useId, useLayoutEffect, useRef, useState } from './hooks.js';
import { h } from './preact.js';
import { ApiError, get } from './api.js';
import { UnknownField } from './selection.js';
import { date, isDay, isText, language, rich, t, time } from './text.js';

export const html = htm.bind(h);

/** @typedef {import('./preact.js').ComponentChildren} Children */
/** @typedef {{id: string, displayName: string, title?: string, email?: string, isAdmin?: boolean}} Person */

// The address ---------------------------------------------------------------------------------------------------------

/**
 * The place that the address names: the view, its subject, and the parameters. The address keeps everything that a
 * reload or another tab needs. It stands after `#`, so that no server and no log sees it.
 *
 * @typedef {{view: string, subject: string, query: URLSearchParams}} Place
 */

/** @returns {Place} */
function place() {
  const [, path = '', query = ''] = /^#?\/?([^?]*)\??(.*)$/s.exec(location.hash) ?? [];
  const [view, ...rest] = path.split('/');
  return { view: view || 'contacts', subject: decode(rest.join('/')), query: new URLSearchParams(query) };
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * Writes an address.
 *
 * @param {string} view
 * @param {URLSearchParams | Record<string, string>} [query]
 * @param {string | number} [subject]
 */
export function address(view, query = {}, subject = '') {
  const text = new URLSearchParams(query).toString();
  return `#/${view}${subject === '' ? '' : `/${encodeURIComponent(subject)}`}${text && `?${text}`}`;
}

/** Goes to an address. @param {string} to @param {'push' | 'replace'} [how] */
export function go(to, how = 'push') {
  history[how === 'push' ? 'pushState' : 'replaceState'](null, '', to);
  dispatchEvent(new PopStateEvent('popstate'));
}

/**
 * Returns a function that tells whether the address is still the same. Call the function before you navigate after a slow
 * request, so that the user is not pulled back from another page.
 */
export function stayer() {
  const { hash } = location;
  return () => location.hash === hash;
}

/** Returns the place, and renders again when it changes. */
export function usePlace() {
  const [here, set] = useState(place);
  useEffect(() => {
    const onMove = () => set(place());
    addEventListener('popstate', onMove);
    return () => removeEventListener('popstate', onMove);
  }, []);
  return here;
}

// Reading from the service --------------------------------------------------------------------------------------------

/**
 * Reads an answer, and keeps the last one until the next one is there or fails.
 *
 * @param {string | null} path `null` reads nothing.
 * @param {URLSearchParams | Record<string, string | number | boolean>} [query]
 */
export function useAnswer(path, query) {
  const [state, set] = useState(/** @type {{answer?: import('./api.js').Answer, of?: string, error?: unknown, busy: boolean}} */ ({ busy: true }));
  const [turn, setTurn] = useState(0);
  const text = new URLSearchParams(/** @type {any} */ (query ?? {})).toString();
  useEffect(() => {
    if (path === null) return set({ busy: false });
    const ended = new AbortController();
    set((before) => ({ ...before, error: undefined, busy: true }));
    get(path, { query: new URLSearchParams(text), signal: ended.signal }).then(
      (answer) => !ended.signal.aborted && set({ answer, of: text, busy: false }),
      (error) => !ended.signal.aborted && set({ error, busy: false }),
    );
    return () => ended.abort();
  }, [path, text, turn]);
  const reload = useCallback(() => setTurn((before) => before + 1), []);
  const put = useCallback((/** @type {import('./api.js').Answer} */ answer) => set({ answer, busy: false }), []);
  return { ...state, reload, put };
}

/**
 * Runs one action at a time, and keeps its failure.
 *
 * @returns {{busy: boolean, error: unknown, run: (work: () => Promise<void>) => Promise<void>, forget: () => void}}
 */
export function useAction() {
  const [state, set] = useState({ busy: false, error: /** @type {unknown} */ (null) });
  const working = useRef(false);
  const run = useCallback(async (/** @type {() => Promise<void>} */ work) => {
    if (working.current) return;
    working.current = true;
    set({ busy: true, error: null });
    try {
      await work();
      set({ busy: false, error: null });
    } catch (error) {
      set({ busy: false, error });
    } finally {
      working.current = false;
    }
  }, []);
  const forget = useCallback(() => set({ busy: false, error: null }), []);
  return { ...state, run, forget };
}

// The page and its states ---------------------------------------------------------------------------------------------

/** The view that was shown last. A change of view moves the focus to the heading; the first view does not. */
let shownView = '';

/**
 * A view. Sets the title of the window, and focuses the heading when the user comes from another view.
 *
 * @param {{title: string, name?: Children, actions?: Children, children?: Children}} properties
 */
export function Page({ title, name, actions, children }) {
  const heading = useRef(/** @type {HTMLElement | null} */ (null));
  useLayoutEffect(() => {
    document.title = t('title', { page: title, product: t('product') });
  }, [title]);
  useLayoutEffect(() => {
    const { view, subject } = place();
    const key = `${view}/${subject}`;
    if (shownView !== '' && shownView !== key) heading.current?.focus();
    shownView = key;
  });
  return html`
    <div class="page-head">
      <h1 tabindex="-1" ref=${heading}>${name ?? title}</h1>
      ${actions && html`<div class="actions">${actions}</div>`}
    </div>
    ${children}`;
}

const CONTROLS = 'a[href], button, input, select, summary, [tabindex="0"]';

/** Returns whether an element can take the focus. @param {Element} element */
const isUsable = (element) => element.isConnected && !element.matches(':disabled') && element.getClientRects().length > 0;

/**
 * Keeps a place for the focus. If the element with the focus disappears or is disabled, the focus moves to a control
 * beside it: the next one, the one before, or the first one of the nearest part of the page that is still there. Without
 * such a control, the focus moves to the heading.
 */
export function keepFocus() {
  /** @type {{element: Element, parts: Element[], beside: Element[]} | null} */
  let last = null;
  addEventListener('focusin', ({ target }) => {
    if (!(target instanceof Element)) return;
    const parts = [];
    for (let part = target.parentElement; part && !part.matches('header, #app'); part = part.parentElement) parts.push(part);
    const controls = [...document.querySelectorAll(CONTROLS)];
    const at = controls.indexOf(target);
    last = { element: target, parts, beside: [...controls.slice(at + 1), ...controls.slice(0, Math.max(0, at)).reverse()] };
  });
  new MutationObserver(() => {
    const { activeElement } = document;
    if (!last || (activeElement !== document.body && activeElement !== last.element)) return;
    if (last.element.isConnected && !last.element.matches(':disabled')) return;
    for (const part of last.parts.filter((one) => one.isConnected)) {
      const next = [...last.beside, ...part.querySelectorAll(CONTROLS)].find((one) => part.contains(one) && isUsable(one));
      if (next instanceof HTMLElement) return next.focus({ preventScroll: true });
    }
    document.querySelector('h1')?.focus({ preventScroll: true });
  }).observe(document.body, { childList: true, subtree: true, attributeFilter: ['disabled', 'hidden'] });
}

/** @type {((text: string) => void) | null} */
let say = null;

/** Tells users of screen readers something that happened. @param {string} text */
export function announce(text) {
  say?.(text);
}

/** The one region whose changes screen readers read. The region exists before the first message. */
export function Announcements() {
  const [text, set] = useState('');
  useEffect(() => {
    say = set;
  }, []);
  return html`<div role="status" class="unseen">${text}</div>`;
}

/** A place that is not filled yet. @param {{lines?: number}} properties */
export function Loading({ lines = 6 }) {
  return html`<div class="loading" aria-busy="true">
    <p class="unseen">${t('loading')}</p>
    ${Array.from({ length: lines }, () => html`<div class="bone"></div>`)}
  </div>`;
}

/**
 * The criteria of a list. In a narrow window, the criteria are closed at first and leave the room to the list.
 *
 * @param {{open?: boolean, layout?: string, children?: Children}} properties `open` opens the criteria in any window.
 */
export function Criteria({ open = false, layout, children }) {
  const first = useRef(open || matchMedia('(min-width: 64rem)').matches);
  return html`<details class="side" open=${first.current}>
    <summary>${t('filter')}</summary>
    <form class=${layout} role="search" aria-label=${t('filter')} onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>${children}</form>
  </details>`;
}

/** A list without entries. @param {{title: string, children?: Children}} properties */
export function Empty({ title, children }) {
  return html`<div class="empty"><p class="empty-title">${title}</p>${children}</div>`;
}

/**
 * A failure: the service's own sentence, the number of the request, and a way to go on.
 *
 * @param {{error: unknown, retry?: () => void, title?: string}} properties
 */
export function Failure({ error, retry, title = t('error.title') }) {
  const api = error instanceof ApiError ? error : null;
  const details = /** @type {any[]} */ (api?.details ?? []);
  return html`<div class="failure" role="alert">
    <p class="failure-title">${title}</p>
    <p>${api?.status === 0 ? t('error.no-answer') : error instanceof UnknownField ? t('error.field', { name: error.field })
      : error instanceof Error ? error.message : String(error)}</p>
    ${details.length > 0 &&
    html`<ul>${details.map((one) => html`<li>${typeof one === 'string' ? one : [one.field, one.message].filter(Boolean).join(': ')}</li>`)}</ul>`}
    ${api?.requestId && html`<p class="quiet">${rich('error.details', { id: html`<code>${api.requestId}</code>` })}</p>`}
    ${retry && html`<button type="button" onClick=${retry}>${t('again')}</button>`}
  </div>`;
}

/**
 * An answer in its three states: being read, there, or failed.
 *
 * @param {{of: ReturnType<typeof useAnswer>, children: (answer: import('./api.js').Answer) => Children, lines?: number}} properties
 */
export function Shown({ of, children, lines }) {
  return html`
    ${of.error && html`<${Failure} error=${of.error} retry=${of.reload} />`}
    ${of.answer ? html`<div class="answer" aria-busy=${String(of.busy)}>${children(of.answer)}</div>` : of.busy && html`<${Loading} lines=${lines} />`}`;
}

// Small parts ---------------------------------------------------------------------------------------------------------

/** The sign of the product. */
export const Mark = () => html`<svg class="mark" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="7" fill="#1f5fbf" />
  <path fill="#fff" d="M13 7.500a4.500 4.500 0 1 0 0 9a4.500 4.500 0 0 0 0-9zM4.500 25c0-5 3.800-8 8.500-8s8.500 3 8.500 8z" />
  <path fill="#ffd166" d="M20 10.500a3.500 3.500 0 1 1 5 3.200V21l-1.500 1.500L22 21v-7.300a3.500 3.500 0 0 1-2-3.200z" /></svg>`;

/** A name from the data, which may have a direction of its own. @param {{children?: Children}} properties */
export const Name = ({ children }) => html`<bdi>${children || t('unnamed')}</bdi>`;

/** @param {{at: string | null | undefined, as?: 'day' | 'minute' | 'clock'}} properties */
export const When = ({ at, as = 'minute' }) => at && html`<time datetime=${at}>${time(at, as)}</time>`;

/**
 * A stage or a type: its colour beside its title. The colour is data, so only a plain hexadecimal colour is used.
 *
 * @param {{of: {title: string, color?: string} | null, none: string}} properties
 */
export function Swatched({ of, none }) {
  if (!of) return html`<span class="quiet">${none}</span>`;
  const color = /^#[0-9a-f]{3,8}$/i.test(of.color ?? '') ? of.color : 'transparent';
  return html`<span class="swatched"><span class="swatch" style=${{ '--swatch': color }}></span><${Name}>${of.title}<//></span>`;
}

/** The access of a contact: a word and a shape. @param {{shareType: number}} properties */
export function AccessWord({ shareType }) {
  const key = shareType === 0 ? 'private' : shareType === 2 ? 'read-only' : 'shared';
  return html`<span class=${`access access-${key}`}><svg viewBox="0 0 16 16" aria-hidden="true">
    ${shareType === 0
      ? html`<path d="M4.500 7V5a3.500 3.500 0 0 1 7 0v2H13v7H3V7zm1.500 0h4V5a2 2 0 0 0-4 0z" />`
      : html`<path d="M8 1.500a6.500 6.500 0 1 0 0 13a6.500 6.500 0 0 0 0-13zM8 3a5 5 0 1 1 0 10A5 5 0 0 1 8 3zM5 7.250h6v1.500H5z" />`}
  </svg>${t(key)}</span>`;
}

/** Returns the name of a person. A person who left has no name any more. @param {{id: string, displayName?: string | null}} one */
export const nameOf = (one) => one.displayName || t('people.unknown', { id: one.id.slice(0, 8) });

/**
 * The names of people as a list.
 *
 * @param {{people: readonly Person[], most?: number, none?: Children}} properties
 */
export function Names({ people, most = 3, none = t('admins-only') }) {
  if (people.length === 0) return html`<span class="quiet">${none}</span>`;
  const first = people.slice(0, most).map((one, at) => html`${at > 0 && ', '}<${Name}>${nameOf(one)}<//>`);
  return people.length > most ? html`<span>${rich('list.more', { names: first, n: people.length - most })}</span>` : html`<span>${first}</span>`;
}

/** The people who may see a contact. @param {{shareType: number, people: readonly Person[]}} properties */
export function Sees({ shareType, people }) {
  if (shareType === 0) return html`<${Names} people=${people} />`;
  return html`<span>${t(shareType === 2 ? 'everyone.reads' : 'everyone')}</span>`;
}

/**
 * A field with its label, its hint and its fault.
 *
 * @param {{label: string, hint?: Children, fault?: string, children: (id: string, described: string) => Children}} properties
 */
export function Field({ label, hint, fault, children }) {
  const id = useId();
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${children(id, [fault && `${id}-fault`, hint && `${id}-hint`].filter(Boolean).join(' '))}
    ${fault && html`<p class="hint fault" id=${`${id}-fault`}>${fault}</p>`}
    ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
  </div>`;
}

/** Returns the text if the text is a date, else an empty text: a date field shows nothing else. @param {string} text */
export const dayValue = (text) => (isDay(text) ? text : '');

/**
 * @param {{label: string, value: string, options: readonly (readonly [string, string])[], onChange: (value: string) => void}} properties
 */
export function Choice({ label, value, options, onChange }) {
  return html`<${Field} label=${label}>${(/** @type {string} */ id) =>
    html`<select id=${id} value=${value}
      onChange=${(/** @type {any} */ event) => onChange(event.target.value)}>
      ${options.map(([key, text]) => html`<option value=${key} selected=${key === value}>${text}</option>`)}
    </select>`}<//>`;
}

// Tables --------------------------------------------------------------------------------------------------------------

/**
 * @template Row
 * @typedef {{key: string, title: string, sort?: string, number?: boolean, head?: boolean, wide?: boolean,
 *   cell: (row: Row) => Children}} Column `head` marks the cell that names the row; `sort` is the name to sort by.
 */

/**
 * Gives the cells of columns their types.
 *
 * @param {Column<any>[]} columns
 */
export const columnsOf = (columns) => columns;

/**
 * A native table. On narrow windows the rows of a table with much text are stacked: each cell below the other, with the
 * title of its column. The explicit roles keep such a table a table for screen readers. The box around another table
 * scrolls sideways, and so takes the focus and has a name.
 *
 * @param {{caption: string, columns: Column<any>[], rows: readonly any[], keyOf: (row: any) => string | number,
 *   sorted?: {by: string, order: 'ascending' | 'descending'}, onSort?: (by: string) => void,
 *   selection?: {head: Children, cell: (row: any) => Children}, marked?: (row: any) => boolean, seen?: boolean}} properties
 */
export function Table({ caption, columns, rows, keyOf, sorted, onSort, selection, marked, seen }) {
  const stacks = columns.filter((column) => !column.number).length > 2;
  return html`<div class=${`table-box ${stacks ? 'stacks' : ''}`} role="group" aria-label=${caption} tabindex="0">
    <table role="table">
      <caption class=${seen ? '' : 'unseen'}>${caption}</caption>
      <thead role="rowgroup"><tr role="row">
        ${selection && html`<td role="cell" class="tick">${selection.head}</td>`}
        ${columns.map(
          (column) => html`<th role="columnheader" scope="col" class=${column.number ? 'number' : ''}
            aria-sort=${column.sort && sorted?.by === column.sort ? sorted.order : undefined}>
            ${column.sort && onSort
              ? html`<button type="button" class="sort" aria-label=${t('sort.by', { column: column.title })} onClick=${() => onSort(/** @type {string} */ (column.sort))}>
                  ${column.title}<span aria-hidden="true" class="sort-mark">${sorted?.by === column.sort ? (sorted.order === 'ascending' ? '▲' : '▼') : ''}</span>
                </button>`
              : column.title}
          </th>`,
        )}
      </tr></thead>
      <tbody role="rowgroup">
        ${rows.map(
          (row) => html`<tr role="row" key=${keyOf(row)} class=${marked?.(row) ? 'marked' : ''}>
            ${selection && html`<td role="cell" class="tick">${selection.cell(row)}</td>`}
            ${columns.map((column) => {
              const style = `${column.number ? 'number' : ''}${column.wide ? ' wide' : ''}`;
              return column.head
                ? html`<th role="rowheader" scope="row" class=${style}>${column.cell(row)}</th>`
                : html`<td role="cell" class=${style} data-title=${column.title}>${column.cell(row)}</td>`;
            })}
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/**
 * A check box with three states.
 *
 * @param {{state: 'on' | 'off' | 'mixed', label: string, onToggle: () => void}} properties
 */
export function Tick({ state, label, onToggle }) {
  const box = useRef(/** @type {HTMLInputElement | null} */ (null));
  useLayoutEffect(() => {
    if (!box.current) return;
    box.current.indeterminate = state === 'mixed';
    box.current.checked = state === 'on';
  });
  return html`<label class="tick-target"><input type="checkbox" ref=${box} checked=${state === 'on'} aria-label=${label} onChange=${onToggle} /></label>`;
}

// People --------------------------------------------------------------------------------------------------------------

/** @type {Map<string, Person>} */
const known = new Map();
/** The people who are being read. @type {Map<string, Promise<void>>} */
const reading = new Map();

/** Remembers people, so that their identifiers can be shown as names. @param {readonly Person[]} people */
export function meet(people) {
  for (const one of people) known.set(one.id, one);
}

/** Returns a person, with the start of the identifier as the name until the name is read. @param {string} id @returns {Person} */
const person = (id) => known.get(id) ?? { id, displayName: id.slice(0, 8) };

/** Reads a person; concurrent callers share one request. A person whom the portal does not have has left. @param {string} id */
async function readPerson(id) {
  // The person may have become known between the drawing of a view and its effect.
  if (known.has(id)) return;
  if (!reading.has(id)) reading.set(id, requestPerson(id).finally(() => reading.delete(id)));
  await reading.get(id);
}

/** The most people who are read with one call each. A page of the list of all people costs less than more calls. */
const PEOPLE_ONE_BY_ONE = 8;
/** The people of the list of all people that one call reads. */
const PEOPLE_OF_LIST = 1000;

/** The number of sign-outs in this page. */
let sessions = 0;

/** Forgets all people. Another portal may have the same identifiers. */
export function forgetPeople() {
  sessions += 1;
  known.clear();
  reading.clear();
}

/** Reads people of this session. The answer to a call of an earlier session is dropped. @param {() => Promise<Person[]>} ask */
async function meetAnswer(ask) {
  const session = sessions;
  const people = await ask();
  if (session === sessions) meet(people);
}

/** Reads people. @param {string[]} ids */
async function readPeople(ids) {
  if (ids.length > PEOPLE_ONE_BY_ONE) {
    const query = { count: PEOPLE_OF_LIST, fields: 'id,displayName,isAdmin' };
    try {
      await meetAnswer(async () => (await get('people/filter', { query })).response);
    } catch (error) {
      // The calls for single people follow.
      if (!(error instanceof ApiError)) throw error;
    }
  }
  // The list may lack some people: somebody who left, or a user of a portal with more users.
  for (const id of ids.filter((id) => !known.has(id))) await readPerson(id);
}

/** @param {string} id */
async function requestPerson(id) {
  try {
    await meetAnswer(async () => [(await get(`people/${encodeURIComponent(id)}`)).response]);
  } catch (error) {
    // After another error, the start of the identifier stays, and the next view asks again.
    if (error instanceof ApiError && error.status === 404) meet([{ id, displayName: t('people.unknown', { id: id.slice(0, 8) }) }]);
  }
}

/**
 * Returns people by their identifiers, and reads those that are not known yet.
 *
 * @param {readonly string[]} ids
 */
export function usePeople(ids) {
  const [, set] = useState(0);
  const text = ids.filter((id) => !known.has(id)).join(' ');
  useEffect(() => {
    const asked = text.split(' ').filter(Boolean);
    if (asked.length > 0) readPeople(asked).then(() => set((before) => before + 1));
  }, [text]);
  return ids.map(person);
}

/** The people that a picker shows. */
const PEOPLE_SHOWN = 8;

/**
 * Chooses people by typing a part of a name.
 *
 * @param {{label: string, chosen: readonly string[], onChange: (ids: string[]) => void, single?: boolean}} properties
 */
export function PeoplePicker({ label, chosen, onChange, single }) {
  const people = usePeople(chosen);
  const [typed, setTyped] = useState('');
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(0);
  const id = useId();
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const words = useSettled(typed, 150);
  const asked = new URLSearchParams({ ...(words && { filterValue: words }), count: String(PEOPLE_SHOWN + chosen.length) });
  const answer = useAnswer(open ? 'people/filter' : null, asked);
  /** @type {Person[]} */
  const found = (answer.answer?.response ?? []).filter((/** @type {Person} */ one) => !chosen.includes(one.id)).slice(0, PEOPLE_SHOWN);
  // The list shows the people of an earlier text until the answer to the typed text has come.
  const isCurrent = words === typed && answer.of === asked.toString();
  const active = Math.min(at, found.length - 1);
  // Without this fault, a form would be sent without the person whose name is typed.
  const unchosen = typed.trim() !== '' ? t('people.unchosen', { typed: typed.trim() }) : '';
  useLayoutEffect(() => input.current?.setCustomValidity(unchosen), [unchosen]);
  const fault = answer.error ? t('people.unread') : open ? '' : unchosen;

  useEffect(() => {
    if (open && answer.error) announce(t('people.unread'));
    if (open && answer.answer && !answer.busy) announce(found.length > 0 ? t('people.found', { n: found.length }) : t('people.none'));
  }, [answer.answer, answer.error]);

  const choose = (/** @type {Person} */ one) => {
    meet([one]);
    onChange(single ? [one.id] : [...chosen, one.id]);
    setTyped('');
    setOpen(false);
  };
  const remove = (/** @type {string} */ gone) => {
    onChange(chosen.filter((one) => one !== gone));
    input.current?.focus();
  };
  const onKey = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      setOpen(true);
      const step = event.key === 'ArrowDown' ? 1 : -1;
      if (open && found.length > 0) setAt((active + step + found.length) % found.length);
    } else if (event.key === 'Enter' && (open || typed !== '')) {
      // The key never sends the form around the field, because the typed person would be missing.
      event.preventDefault();
      if (open && isCurrent && found[active]) choose(found[active]);
    } else if (event.key === 'Escape' && open) {
      event.preventDefault();
      event.stopPropagation();
      setOpen(false);
    }
  };

  return html`<div class="field people">
    <label for=${id}>${label}</label>
    ${people.length > 0 &&
    html`<ul class="chips" aria-label=${t('people.chosen')}>${people.map(
      (one) => html`<li key=${one.id} class="chip"><${Name}>${one.displayName}<//>
        <button type="button" class="plain" aria-label=${t('people.remove', { name: one.displayName })} onClick=${() => remove(one.id)}><span aria-hidden="true">✕</span></button></li>`,
    )}</ul>`}
    <div class="combo">
      <input id=${id} ref=${input} type="text" role="combobox" autocomplete="off" spellcheck=${false} placeholder=${t(single ? 'people.choose' : 'people.add')}
        aria-expanded=${String(open)} aria-invalid=${String(fault !== '')} aria-describedby=${fault ? `${id}-fault` : undefined} aria-controls=${`${id}-list`} aria-autocomplete="list"
        aria-activedescendant=${open && found[active] ? `${id}-${active}` : undefined}
        value=${typed} onKeyDown=${onKey} onClick=${() => setOpen(true)} onBlur=${() => setOpen(false)}
        onInput=${(/** @type {any} */ event) => {
          setTyped(event.target.value);
          setOpen(true);
          setAt(0);
        }} />
      <ul id=${`${id}-list`} role="listbox" aria-label=${label} hidden=${!open || !answer.answer}>
        ${found.map(
          (one, index) => html`<li key=${one.id} id=${`${id}-${index}`} role="option" aria-selected=${String(index === active)}
            onMouseDown=${(/** @type {Event} */ event) => event.preventDefault()} onClick=${() => choose(one)}>
            <${Name}>${one.displayName}<//><span class="quiet">${[one.title, one.email].filter(Boolean).join(' · ')}</span></li>`,
        )}
        ${found.length === 0 && answer.answer && html`<li role="option" aria-disabled="true" aria-selected="false" class="quiet">${t('people.none')}</li>`}
      </ul>
    </div>
    ${fault && html`<p class="hint fault" id=${`${id}-fault`}>${fault}</p>`}
  </div>`;
}

/**
 * Returns a value once it has not changed for a while.
 *
 * @template T
 * @param {T} value
 * @param {number} milliseconds
 * @returns {T}
 */
export function useSettled(value, milliseconds) {
  const [settled, set] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => set(value), milliseconds);
    return () => clearTimeout(timer);
  }, [value, milliseconds]);
  return settled;
}

// Words for a filter --------------------------------------------------------------------------------------------------

/**
 * The stages, types and tags of the portal, from which filters choose.
 *
 * @typedef {{stages: any[], types: any[], tags: any[], error?: unknown, retry?: () => void}} Choices
 */

/**
 * Returns the parts of a filter, each with the words for it.
 *
 * @param {import('./selection.js').Filter} filter
 * @param {Choices} choices
 * @returns {{name: string, value: string, words: Children, text: string}[]}
 */
export function partsOf(filter, choices) {
  const titled = (/** @type {any[]} */ list, /** @type {string} */ id, /** @type {string} */ none) =>
    id === '0' ? none : list.find((one) => String(one.id) === id)?.title ?? id;
  return Object.entries(filter).flatMap(([name, values]) =>
    values.map((value) => {
      const word =
        name === 'contactStage' ? titled(choices.stages, value, t('no-stage'))
        : name === 'contactType' ? titled(choices.types, value, t('no-type'))
        : name === 'contactListView' ? (isText(`filter.view.${value}`) ? t(/** @type {any} */ (`filter.view.${value}`)) : value)
        : name === 'isShared' ? t(value === 'true' ? 'shared' : 'private')
        : name === 'responsibleid' ? (/^[0-]+$/.test(value) ? t('nobody') : person(value).displayName)
        : name === 'tags' ? (choices.tags.find((one) => one.title.toLowerCase() === value.toLowerCase())?.title ?? value)
        : name === 'fromDate' || name === 'toDate' ? date(value)
        : value;
      const key = /** @type {import('./text.js').Key} */ (`filter.part.${name}`);
      return { name, value, words: rich(key, { value: html`<${Name}>${word}<//>` }), text: t(key, { value: word }) };
    }),
  );
}

document.documentElement.lang = language.code;
document.documentElement.dir = language.direction;
