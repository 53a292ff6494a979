/** The contacts: a filter, the list that it selects, and the selection whose access is set. */

import { useEffect, useMemo, useReducer, useRef, useState } from './hooks.js';
import {
  MAX_TICKED, NOBODY, NOTHING, UnknownField, VIEWS, addressOf, box, count, filterOfQuery, filterOfView, fingerprint, queryOfFilter,
  reduce, unusable,
} from './selection.js';
import { number, rich, shownZone, t } from './text.js';
import {
  AccessWord, Choice, Criteria, Empty, Failure, Field, Name, Page, PeoplePicker, Sees, Shown, Swatched, Table, Tick, When, address,
  announce, dayValue, go, html, partsOf, useAnswer, usePeople, useSettled,
} from './ui.js';

/** @typedef {import('./selection.js').Filter} Filter */
/** @typedef {import('./types').Contact} Contact */

const ROWS = [25, 50, 100, 500, 1000];
/** The tags that the filter shows before the user types. */
const TAGS_SHOWN = 8;
const FIELDS_SHOWN = 'id,displayName,isCompany,contactStatus,contactType,accessList,isPrivate,shareType,created,tags,canEdit';

/** Returns the stages, types and tags of the portal, each with its number of contacts if the service shows the number. */
export function useChoices() {
  const stages = useAnswer('crm/contact/status');
  const types = useAnswer('crm/contact/type');
  const tags = useAnswer('crm/contact/tag');
  const failed = [stages, types, tags].filter((one) => one.error);
  return {
    stages: stages.answer?.response ?? [], types: types.answer?.response ?? [], tags: tags.answer?.response ?? [],
    error: failed[0]?.error, retry: () => failed.forEach((one) => one.reload()),
  };
}

/**
 * The failure to read the choices. Until they are read, identifiers stand in place of names.
 *
 * @param {{of: ReturnType<typeof useChoices>}} properties
 */
export function UnreadChoices({ of }) {
  return of.error && html`<${Failure} error=${of.error} retry=${of.retry} title=${t('filter.choices.failed')} />`;
}

/**
 * Counts the contacts of a filter, apart from the list, because a count of many contacts takes longer than a page of them.
 *
 * @param {Filter | null} filter
 * @returns {{total: Total | null, error: unknown, retry: () => void}} `null` until the contacts are counted.
 * @typedef {{total: number, atLeast: boolean}} Total
 */
export function useTotal(filter) {
  const query = queryOfFilter(filter ?? {});
  query.set('count', '1');
  query.set('fields', 'id');
  const { answer, busy, error, reload } = useAnswer(filter && 'crm/contact/filter', query);
  return { total: busy || !answer ? null : { total: answer.total ?? 0, atLeast: answer.atLeast }, error, retry: reload };
}

/**
 * The list of contacts.
 *
 * @param {import('./app.js').ViewProperties} properties
 */
export function Contacts({ query }) {
  const choices = useChoices();
  const filter = filterOfQuery(query);
  const key = fingerprint(filter);
  const rowsShown = ROWS.includes(Number(query.get('count'))) ? Number(query.get('count')) : ROWS[0];
  const start = Math.max(0, Number(query.get('startIndex')) || 0);
  const sorted = {
    by: query.get('sortBy') ?? 'created',
    order: /** @type {'ascending' | 'descending'} */ (query.get('sortOrder') ?? (query.get('sortBy') ? 'ascending' : 'descending')),
  };
  const asked = queryOfFilter(filter);
  for (const [name, value] of Object.entries({ sortBy: sorted.by, sortOrder: sorted.order, startIndex: start, count: rowsShown, total: false, fields: FIELDS_SHOWN })) {
    asked.set(name, String(value));
  }
  const list = useAnswer('crm/contact/filter', asked);
  const rows = /** @type {Contact[]} */ (list.answer?.response ?? []);
  // Nobody can select a contact that they may not edit: one such contact would make the whole change fail.
  const page = useMemo(() => rows.filter((row) => row.canEdit).map((row) => row.id), [list.answer]);
  const more = list.answer ? list.answer.headers.has('X-Next-Index') : false;
  // The count starts once the first page is there, so that it does not delay the page.
  const [listed, setListed] = useState('');
  const counted = useTotal(listed === key ? filter : null);
  // The only page is its own count.
  const known = !list.busy && start === 0 && list.answer && !more ? { total: rows.length, atLeast: false } : counted.total;
  const total = known?.total ?? null;
  const [selection, act] = useReducer(reduce, NOTHING);

  // Until the answer for another filter arrives, the table shows contacts of the filter before: ticks of these end too.
  const shownKey = useRef(key);
  useEffect(() => act({ type: 'filtered' }), [key]);
  useEffect(() => {
    act(shownKey.current === key ? { type: 'paged', page } : { type: 'filtered' });
    shownKey.current = key;
    if (list.answer) setListed(key);
  }, [list.answer]);

  const words = known ? t(known.atLeast ? 'contacts.at-least' : 'contacts.matched', { n: known.total }) : t(list.error || counted.error ? 'contacts.unknown' : 'contacts.counting');
  const settled = useSettled(list.busy || !known ? '' : words, 600);
  useEffect(() => {
    if (settled) announce(settled);
  }, [settled]);

  /** Goes to the list with other parameters. @param {Record<string, string | null>} changes @param {'push' | 'replace'} [how] */
  const turn = (changes, how = 'push') => {
    const next = new URLSearchParams(query);
    for (const [name, value] of Object.entries(changes)) value === null ? next.delete(name) : next.set(name, value);
    go(address('contacts', next), how);
  };
  // A page after the end of the list leads to the last page: contacts of the address may have left the filter.
  useEffect(() => {
    if (!list.answer || list.busy || rows.length > 0 || start === 0 || !known) return;
    const last = known.atLeast ? 0 : Math.floor((known.total - 1) / rowsShown) * rowsShown;
    turn({ startIndex: last > 0 && last < start ? String(last) : null }, 'replace');
  }, [list.answer, known?.total]);
  const filterBy = (/** @type {Filter} */ next) => {
    const parameters = queryOfFilter(next);
    for (const name of ['sortBy', 'sortOrder', 'count', 'rule']) if (query.has(name)) parameters.set(name, query.get(name) ?? '');
    go(address('contacts', parameters));
  };
  const sortBy = (/** @type {string} */ by) => {
    const natural = by === 'created' ? 'descending' : 'ascending';
    const other = by === 'created' ? 'ascending' : 'descending';
    const order = sorted.by === by && sorted.order === natural ? other : natural;
    turn({ sortBy: by, sortOrder: order, startIndex: null });
  };

  /** @type {import('./ui.js').Column<Contact>[]} */
  const columns = [
    { key: 'name', title: t('contacts.name'), sort: 'displayName', head: true, wide: true, cell: (row) =>
      html`<a href=${address('contact', {}, row.id)}><${Name}>${row.displayName}<//></a><span class="quiet kind">${t(row.isCompany ? 'company' : 'person')}</span>` },
    // A narrow window shows the first columns: the access is the matter of the console.
    { key: 'access', title: t('contacts.access'), cell: (row) =>
      html`<${AccessWord} shareType=${row.shareType} />${!row.canEdit && html`<span class="quiet kind">${t('contacts.read-only')}</span>`}` },
    {
      key: 'who', title: t('contacts.who'),
      cell: (row) => html`<${Sees} shareType=${row.shareType} people=${row.accessList} />`,
    },
    {
      key: 'stage', title: t('contacts.stage'),
      cell: (row) => html`<${Swatched} of=${row.contactStatus} none=${t('no-stage')} />`,
    },
    {
      key: 'type', title: t('contacts.type'), sort: 'contactType',
      cell: (row) => html`<${Swatched} of=${row.contactType} none=${t('no-type')} />`,
    },
    {
      key: 'created', title: t('contacts.created'), sort: 'created',
      cell: (row) => html`<${When} at=${row.created} as="day" />`,
    },
  ];

  return html`<${Page} title=${t('contacts.title')}>
    <div class="with-side">
      <${FilterForm} filter=${filter} choices=${choices} onChange=${filterBy} />
      <section class="main">
        <${FilterChips} filter=${filter} choices=${choices} onChange=${filterBy} />
        <${SelectionBar} selection=${selection} act=${act} page=${page} total=${total} atLeast=${known?.atLeast} filter=${filter}
          rule=${query.get('rule')} choices=${choices} words=${words} busy=${list.busy} />
        ${!known && counted.error && html`<${Failure} error=${counted.error} title=${t('contacts.uncounted')} retry=${counted.retry} />`}
        <${Shown} of=${list} lines=${12}>${() =>
          rows.length === 0
            ? html`<${Empty} title=${t('contacts.none')}><p>${t('contacts.none.hint')}</p>
                <p><a href=${address('contacts')}>${t('error.home')}</a></p><//>`
            : html`<${Table} caption=${t('contacts.caption')} columns=${columns} rows=${rows} keyOf=${(/** @type {any} */ row) => row.id}
                sorted=${sorted} onSort=${sortBy} marked=${(/** @type {any} */ row) => box(selection, [row.id]) === 'on'}
                selection=${{
                  head: html`<${Tick} state=${box(selection, page)} label=${t('select.page')} onToggle=${() => act({ type: 'toggle-page', page })} />`,
                  cell: (/** @type {Contact} */ row) => row.canEdit && html`<${Tick} state=${box(selection, [row.id])} label=${t('select.one', { name: row.displayName })}
                    onToggle=${() => act({ type: 'toggle', id: row.id, page })} />`,
                }} />
              <${Pages} start=${start} shown=${rows.length} size=${rowsShown} more=${more} known=${known}
                onTurn=${(/** @type {number} */ to) => turn({ startIndex: to === 0 ? null : String(to) })}
                onSize=${(/** @type {string} */ size) => turn({ count: size, startIndex: null })} />`}<//>
      </section>
    </div><//>`;
}

/** Returns the query of a rule's page for a filter. The filter may be empty: every contact. @param {Filter} filter */
function ruleQuery(filter) {
  const query = queryOfFilter(filter);
  query.set('of', 'all');
  return query;
}

/**
 * The selected contacts, and the button that sets their access.
 *
 * @param {{selection: import('./selection.js').Selection, act: (action: import('./selection.js').Action) => void, page: number[],
 *   total: number | null, atLeast?: boolean, filter: Filter, rule: string | null, choices: import('./ui.js').Choices, words: string,
 *   busy: boolean}} properties `rule` is the rule whose filter the user changes.
 */
function SelectionBar({ selection, act, page, total, atLeast, filter, rule, choices, words, busy }) {
  const n = count(selection, total ?? 0);
  const refused = unusable(filter);
  const blocked = selection.mode === 'all' && refused.length > 0;
  const reason = blocked
    ? t('filter.unusable', { parts: partsOf(filter, choices).filter((part) => refused.includes(part.name)).map((part) => part.text).join(', ') })
    : selection.refused ? t('select.limit', { n: MAX_TICKED }) : '';
  const sentence =
    selection.mode === 'none' ? words
    : t(selection.mode === 'all' ? 'select.n.all' : selection.mode === 'page' ? 'select.n.page' : 'select.n', { n });
  const whole = box(selection, page) === 'on';
  const had = useRef(false);
  useEffect(() => {
    const has = selection.mode !== 'none';
    if (has) announce(reason || sentence);
    else if (had.current) announce(t('select.ended'));
    had.current = has;
  }, [sentence, reason, selection.mode]);
  return html`<div class=${`selection ${selection.mode === 'none' ? '' : 'active'}`} role="group" aria-label=${t('select.bar')}>
    <p class="sentence">${sentence}</p>
    ${whole && selection.mode !== 'all' && total !== null && total > selection.ids.length &&
    html`<button type="button" class="link" onClick=${() => act({ type: 'all', page })}>${t('select.all', { n: total })}</button>`}
    ${selection.mode !== 'none' && html`<button type="button" class="link" onClick=${() => act({ type: 'clear' })}>${t('select.clear')}</button>`}
    ${(selection.mode === 'ticked' || selection.mode === 'page') && !reason && (total ?? 0) > MAX_TICKED && html`<p class="hint">${t('select.most', { n: MAX_TICKED })}</p>`}
    <span class="grow"></span>
    ${selection.mode === 'none' && html`<a class="button" href=${address('rule', ruleQuery(filter), rule ?? '')}>${rule
      ? rich('rules.filter.use', { name: html`<${Name}>${rule}<//>` }) : t('rules.filter.make')}</a>`}
    <button type="button" class="primary" disabled=${n === 0 || blocked || busy} aria-describedby=${reason ? 'selection-reason' : undefined}
      onClick=${() => go(address('access', addressOf(selection, filter)))}>${n === 0 ? t('select.set.none') : t('select.set', { n })}</button>
    ${reason && html`<p class="fault whole" id="selection-reason">${reason}</p>`}
    ${atLeast && selection.mode === 'all' && html`<p class="quiet whole">${t('contacts.at-least', { n: total ?? 0 })}</p>`}
  </div>`;
}

/**
 * The pages of the list.
 *
 * @param {{start: number, shown: number, size: number, more: boolean, known: {total: number, atLeast: boolean} | null, onTurn: (to: number) => void, onSize: (size: string) => void}} properties
 */
function Pages({ start, shown, size, more, known, onTurn, onSize }) {
  const key = known ? (known.atLeast ? 'page.range.at-least' : 'page.range') : 'page.range.counting';
  const range = t(key, { from: start + 1, to: start + shown, total: known?.total ?? 0 });
  return html`<nav class="pages" aria-label=${t('page')}>
    <p>${range}</p>
    <button type="button" disabled=${start === 0} onClick=${() => onTurn(Math.max(0, start - size))}>${t('page.previous')}</button>
    <button type="button" disabled=${!more} onClick=${() => onTurn(start + size)}>${t('page.next')}</button>
    <${Choice} label=${t('page.size')} value=${String(size)} options=${ROWS.map((one) => [String(one), number(one)])} onChange=${onSize} />
  </nav>`;
}

/**
 * Returns the parts of a filter in words, with the names of its people once these are known.
 *
 * @param {Filter} filter
 * @param {import('./ui.js').Choices} choices
 */
function useParts(filter, choices) {
  usePeople((filter.responsibleid ?? []).filter((id) => id !== NOBODY));
  return partsOf(filter, choices);
}

/**
 * A filter in words.
 *
 * @param {{filter: Filter, choices: import('./ui.js').Choices, children?: import('./ui.js').Children}} properties
 */
export function FilterWords({ filter, choices, children }) {
  const parts = useParts(filter, choices);
  return html`<ul class="chips">${parts.length > 0 ? parts.map((part) => html`<li class="chip"><span>${part.words}</span></li>`) : html`<li class="chip">${t('filter.every')}</li>`}${children}</ul>`;
}

/**
 * The filter of a job or of a rule in words. A filter with a field that the console does not know leaves the rest of
 * the page as it is.
 *
 * @param {{view: object | null | undefined, choices: import('./ui.js').Choices,
 *   children?: (filter: Filter) => import('./ui.js').Children}} properties
 */
export function ViewWords({ view, choices, children }) {
  try {
    const filter = filterOfView(view);
    return html`<${FilterWords} filter=${filter} choices=${choices}>${children?.(filter)}<//>`;
  } catch (error) {
    if (!(error instanceof UnknownField)) throw error;
    return html`<p class="fault">${t('error.field', { name: error.field })}</p>`;
  }
}

/**
 * The parts of the filter, each with a button that removes it.
 *
 * @param {{filter: Filter, choices: import('./ui.js').Choices, onChange: (filter: Filter) => void}} properties
 */
function FilterChips({ filter, choices, onChange }) {
  const parts = useParts(filter, choices);
  if (parts.length === 0) return null;
  const without = (/** @type {{name: string, value: string}} */ { name, value }) => {
    const rest = filter[name].filter((one) => one !== value);
    const { [name]: _, ...others } = filter;
    onChange(rest.length > 0 ? { ...filter, [name]: rest } : others);
  };
  return html`<ul class="chips" aria-label=${t('filter.active')}>
    ${parts.map((part) => html`<li key=${part.name + part.value} class="chip"><span>${part.words}</span>
      <button type="button" class="plain" aria-label=${t('filter.remove', { part: part.text })} onClick=${() => without(part)}><span aria-hidden="true">✕</span></button></li>`)}
    <li><button type="button" class="link" onClick=${() => onChange({})}>${t('filter.clear')}</button></li>
  </ul>`;
}

/**
 * The form of the filter. Every change goes into the address at once; words and dates wait until typing pauses.
 *
 * @param {{filter: Filter, choices: ReturnType<typeof useChoices>, onChange: (filter: Filter) => void}} properties
 */
function FilterForm({ filter, choices, onChange }) {
  const set = (/** @type {string} */ name, /** @type {string[]} */ values) => {
    const { [name]: _, ...others } = filter;
    onChange(values.length > 0 ? { ...others, [name]: values } : others);
  };
  const one = (/** @type {string} */ name) => filter[name]?.[0] ?? '';
  const setOne = (/** @type {string} */ name) => (/** @type {string} */ value) => set(name, value === '' ? [] : [value]);
  const toggle = (/** @type {string} */ name, /** @type {string} */ value) =>
    set(name, filter[name]?.includes(value) ? filter[name].filter((one) => one !== value) : [...(filter[name] ?? []), value]);
  return html`<${Criteria}>
    <${Typed} label=${t('filter.words')} hint=${t('filter.words.hint')} type="search" value=${one('filterValue')} onChange=${setOne('filterValue')} />
    <${Choice} label=${t('contacts.access')} value=${one('isShared')} onChange=${setOne('isShared')}
      options=${[['', t('filter.any')], ['false', t('private')], ['true', t('shared')]]} />
    <${PeoplePicker} label=${t('filter.manager')} single chosen=${(filter.responsibleid ?? []).filter((id) => id !== NOBODY)}
      onChange=${(/** @type {string[]} */ ids) => set('responsibleid', ids)} />
    <label class="check"><input type="checkbox" checked=${one('responsibleid') === NOBODY}
      onChange=${() => set('responsibleid', one('responsibleid') === NOBODY ? [] : [NOBODY])} /> ${t('nobody')}</label>
    <${Choice} label=${t('job.kind')} value=${one('contactListView')} onChange=${setOne('contactListView')}
      options=${[['', t('filter.any')], ...VIEWS.map((view) => [view, t(`filter.view.${view}`)])]} />
    <${UnreadChoices} of=${choices} />
    <${Boxes} title=${t('contacts.stage')} name="contactStage" list=${choices.stages} none=${t('no-stage')} chosen=${filter.contactStage ?? []} onToggle=${toggle} />
    <${Boxes} title=${t('contacts.type')} name="contactType" list=${choices.types} none=${t('no-type')} chosen=${filter.contactType ?? []} onToggle=${toggle} />
    <fieldset><legend>${t('contacts.created')}</legend>
      <${Typed} label=${t('filter.from')} type="date" value=${one('fromDate')} onChange=${setOne('fromDate')} />
      <${Typed} label=${t('filter.to')} type="date" value=${one('toDate')} onChange=${setOne('toDate')} />
      <p class="hint">${t('filter.zone', { zone: shownZone() })}</p>
    </fieldset>
    <${Tags} list=${choices.tags} chosen=${filter.tags ?? []} onToggle=${(/** @type {string} */ tag) => toggle('tags', tag)} />
  <//>`;
}

/**
 * A field whose value counts once typing has paused, or at Enter.
 *
 * @param {{label: string, type: string, hint?: string, value: string, onChange: (value: string) => void}} properties
 */
export function Typed({ label, hint, type, value: given, onChange }) {
  const value = type === 'date' ? dayValue(given) : given;
  // A date field also gives the days of the years 1, 19 and 199 while the user types 1997.
  const isWhole = (/** @type {string} */ text) => type !== 'date' || text === '' || text >= '1000';
  const [typed, setTyped] = useState(value);
  const settled = useSettled(typed, 400);
  const latest = useRef(value);
  useEffect(() => {
    latest.current = value;
    // The field keeps the space after a word while the user pauses.
    setTyped((before) => (before.trim() === value ? before : value));
  }, [value]);
  useEffect(() => {
    if (settled === typed && isWhole(settled) && settled.trim() !== latest.current) onChange(settled.trim());
  }, [settled]);
  return html`<${Field} label=${label} hint=${hint}>${(/** @type {string} */ id, /** @type {string} */ described) =>
    html`<input id=${id} aria-describedby=${described || undefined} type=${type} value=${typed} autocomplete="off" onInput=${(/** @type {any} */ event) => setTyped(event.target.value)}
      onChange=${(/** @type {any} */ event) => {
        const next = event.target.value.trim();
        if (isWhole(next) && next !== latest.current) onChange(next);
      }} />`}<//>`;
}

/**
 * The stages or the types, as check boxes with their colours.
 *
 * @param {{title: string, name: string, list: any[], none: string, chosen: string[], onToggle: (name: string, value: string) => void}} properties
 */
function Boxes({ title, name, list, none, chosen, onToggle }) {
  const all = [...list, { id: 0, title: none }];
  return html`<fieldset><legend>${title}</legend>
    ${all.map((one) => html`<label class="check" key=${one.id}><input type="checkbox" checked=${chosen.includes(String(one.id))}
      onChange=${() => onToggle(name, String(one.id))} />
      ${one.id === 0 ? html`<span>${none}</span>` : html`<${Swatched} of=${one} none="" />`}
      ${one.relativeItemsCount !== undefined && html`<span class="count">${number(one.relativeItemsCount)}</span>`}</label>`)}
  </fieldset>`;
}

/**
 * The tags: the chosen ones, the largest, or those that contain what is typed.
 *
 * @param {{list: any[], chosen: string[], onToggle: (tag: string) => void}} properties
 */
function Tags({ list, chosen, onToggle }) {
  const [typed, setTyped] = useState('');
  const is = (/** @type {string} */ tag) => chosen.some((one) => one.toLowerCase() === tag.toLowerCase());
  const sorted = useMemo(() => [...list].sort((a, b) => (b.relativeItemsCount ?? 0) - (a.relativeItemsCount ?? 0)), [list]);
  const matching = sorted.filter((one) => !is(one.title) && one.title.toLowerCase().includes(typed.trim().toLowerCase()));
  const shown = [
    ...chosen.map((title) => list.find((one) => one.title.toLowerCase() === title.toLowerCase()) ?? { title }),
    ...matching.slice(0, typed.trim() ? TAGS_SHOWN * 3 : TAGS_SHOWN),
  ];
  const more = matching.length + chosen.length - shown.length;
  return html`<fieldset><legend>${t('contacts.tags')}</legend>
    <${Field} label=${t('filter.tags.find')} hint=${t('filter.tags.all')}>${(/** @type {string} */ id, /** @type {string} */ described) =>
      html`<input id=${id} type="search" autocomplete="off" aria-describedby=${described} value=${typed} onInput=${(/** @type {any} */ event) => setTyped(event.target.value)} />`}<//>
    ${shown.map((one) => html`<label class="check" key=${one.title}><input type="checkbox" checked=${is(one.title)}
      onChange=${() => onToggle(chosen.find((tag) => tag.toLowerCase() === one.title.toLowerCase()) ?? one.title)} />
      <${Name}>${one.title}<//>${one.relativeItemsCount !== undefined && html`<span class="count">${number(one.relativeItemsCount)}</span>`}</label>`)}
    ${typed.trim() && matching.length === 0 && html`<p class="quiet">${t('filter.tags.none')}</p>`}
    ${more > 0 && html`<p class="quiet">${t('filter.tags.more', { n: more })}</p>`}
  </fieldset>`;
}
