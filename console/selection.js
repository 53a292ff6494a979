/**
 * The selected contacts: the filter, as an address, a list, a change and a job write it, and the selection of a table.
 *
 * Each view takes the contacts that it shows, counts, confirms and changes from here, so that these are the same contacts. The
 * module is pure: it knows neither the page nor the service.
 */

/** The maximum number of contacts that one call names. */
export const MAX_TICKED = 1000;

/** The identifier that stands for "no manager". */
export const NOBODY = '00000000-0000-0000-0000-000000000000';

/** The views of contacts, as the API names them. */
export const VIEWS = /** @type {const} */ (['Company', 'Person', 'WithOpportunity']);

/**
 * The fields of a filter. `change` is where the call that changes access takes the field; a field without it can only
 * be listed.
 *
 * @type {Record<string, {many?: true, number?: true, change?: 'body' | 'query'}>}
 */
export const FIELDS = {
  tags: { many: true, change: 'body' },
  contactStage: { many: true, number: true, change: 'body' },
  contactType: { many: true, number: true, change: 'body' },
  contactListView: { change: 'body' },
  fromDate: { change: 'body' },
  toDate: { change: 'body' },
  filterValue: { change: 'query' },
  isShared: { change: 'query' },
  responsibleid: { change: 'query' },
};

/** The parameters of a list that are not part of the filter. `rule` names the rule whose filter the user changes. */
export const LIST_PARAMETERS = ['sortBy', 'sortOrder', 'startIndex', 'count', 'rule'];

/**
 * A filter: each field that is set, with its values in the order of their choice.
 *
 * @typedef {Record<string, string[]>} Filter
 */

/**
 * Reads the filter of an address or of a query.
 *
 * @param {URLSearchParams} query
 * @returns {Filter}
 */
export function filterOfQuery(query) {
  /** @type {Filter} */
  const filter = {};
  for (const name of Object.keys(FIELDS)) {
    const values = [...new Set(query.getAll(name).filter((value) => value.trim() !== ''))];
    if (values.length > 0) filter[name] = FIELDS[name].many ? values : values.slice(0, 1);
  }
  return filter;
}

/**
 * Returns the name of a filter field in an address whose values the filter cannot hold whole: a blank value, two values
 * of a field that takes one, or another word than true and false. Without this part, the filter would select other
 * contacts.
 *
 * @param {URLSearchParams} query
 * @returns {string | undefined}
 */
export function spoiltField(query) {
  return Object.keys(FIELDS).find((name) => {
    const values = query.getAll(name);
    return values.some((one) => one.trim() === '') || (!FIELDS[name].many && new Set(values).size > 1) ||
      (name === 'isShared' && values.some((one) => one !== 'true' && one !== 'false'));
  });
}

/**
 * Writes a filter as a query.
 *
 * @param {Filter} filter
 * @returns {URLSearchParams}
 */
export function queryOfFilter(filter) {
  const query = new URLSearchParams();
  for (const name of Object.keys(FIELDS)) for (const value of filter[name] ?? []) query.append(name, value);
  return query;
}

/** The moments of a filter that stand for a whole day: the first one of a `fromDate`, the last one of a `toDate`. */
const WHOLE_DAY = new Map([
  ['fromDate', /^(\d{4}-\d\d-\d\d)T00:00:00\.0000000/],
  ['toDate', /^(\d{4}-\d\d-\d\d)T23:59:59\.9999999/],
]);

/** A filter has a field that the console does not know. Without the field, the filter would select other contacts. */
export class UnknownField extends Error {
  /** @param {string} field */
  constructor(field) {
    super(`unknown field ${field}`);
    this.field = field;
  }
}

/**
 * Reads the filter of a job or of a rule, whose absent fields may be empty or `null`, and whose days are moments. Throws
 * `UnknownField` at a field that the console does not know.
 *
 * @param {object | null | undefined} shown
 * @returns {Filter}
 */
export function filterOfView(shown) {
  /** @type {Filter} */
  const filter = {};
  for (const [name, value] of Object.entries(shown ?? {})) {
    const values = (Array.isArray(value) ? value : [value]).filter((one) => one !== null && one !== '').map(String);
    if (values.length === 0 || (name === 'contactListView' && values[0] === 'All')) continue;
    if (!Object.hasOwn(FIELDS, name)) throw new UnknownField(name);
    filter[name] = values.map((one) => WHOLE_DAY.get(name)?.exec(one)?.[1] ?? one);
  }
  return filter;
}

/**
 * Writes one field as JSON.
 *
 * @param {string} name
 * @param {string[]} values
 */
function json(name, values) {
  const { many, number } = FIELDS[name];
  if (many) return number ? values.map(Number) : values;
  return name === 'isShared' ? values[0] === 'true' : values[0];
}

/**
 * Writes a filter as the call that changes access takes it: some fields in the body, some in the query.
 *
 * @param {Filter} filter
 * @returns {{query: URLSearchParams, body: Record<string, unknown>}}
 */
export function changeOfFilter(filter) {
  const query = new URLSearchParams();
  /** @type {Record<string, unknown>} */
  const body = {};
  for (const [name, values] of Object.entries(filter)) {
    const { change } = FIELDS[name];
    if (change === 'body') body[name] = json(name, values);
    else if (change === 'query') query.append(name, values[0]);
    else throw new Error(`a change takes no ${name}`);
  }
  return { query, body };
}

/**
 * Writes a filter as a rule takes it.
 *
 * @param {Filter} filter
 * @returns {Record<string, unknown>}
 */
export function ruleOfFilter(filter) {
  return Object.fromEntries(Object.entries(filter).map(([name, values]) => [name, json(name, values)]));
}

/**
 * Returns the fields of a filter that a change cannot take. Lists may know more fields than changes.
 *
 * @param {Filter} filter
 * @param {typeof FIELDS} [fields]
 * @returns {string[]}
 */
export function unusable(filter, fields = FIELDS) {
  return Object.keys(filter).filter((name) => !fields[name]?.change);
}

/**
 * Returns a text that is equal for two filters exactly if they select the same contacts.
 *
 * @param {Filter} filter
 */
export function fingerprint(filter) {
  return JSON.stringify(Object.keys(FIELDS).map((name) => [...(filter[name] ?? [])].sort()));
}

/**
 * The selection of a table.
 *
 * - `none`: nothing is selected.
 * - `page`: exactly the contacts of the page that is shown.
 * - `ticked`: contacts that were ticked one by one, on any page.
 * - `all`: every contact that the filter selects, also on other pages.
 *
 * `refused` says that the last action would have ticked more contacts than a call takes, and so did nothing.
 *
 * @typedef {{mode: 'none' | 'page' | 'ticked' | 'all', ids: readonly number[], refused: boolean}} Selection
 */

/**
 * An action of the user, or a change of what the table shows. `page` holds the contacts that the table shows then.
 *
 * @typedef {{type: 'toggle', id: number, page: readonly number[]}
 *   | {type: 'toggle-page', page: readonly number[]}
 *   | {type: 'all', page: readonly number[]}
 *   | {type: 'clear'}
 *   | {type: 'paged', page: readonly number[]}
 *   | {type: 'filtered'}} Action
 */

/** @type {Selection} */
export const NOTHING = Object.freeze({ mode: 'none', ids: Object.freeze([]), refused: false });

/**
 * Returns the selection after an action. Any toggle, page or change of the filter ends `all`.
 *
 * @param {Selection} selection
 * @param {Action} action
 * @returns {Selection}
 */
export function reduce(selection, action) {
  const { mode, ids } = selection;
  switch (action.type) {
    case 'toggle': {
      const before = mode === 'all' ? action.page : ids;
      const after = before.includes(action.id) ? before.filter((id) => id !== action.id) : [...before, action.id];
      return ticked(selection, after, action.page);
    }
    case 'toggle-page': {
      const others = mode === 'all' ? [] : ids.filter((id) => !action.page.includes(id));
      const whole = mode === 'all' || covers(ids, action.page);
      return ticked(selection, whole ? others : [...others, ...action.page], action.page);
    }
    case 'all':
      return mode === 'page' || (mode === 'ticked' && covers(ids, action.page))
        ? { mode: 'all', ids: [], refused: false }
        : selection;
    case 'paged':
      return mode === 'all' ? NOTHING : ticked(selection, ids, action.page);
    case 'clear':
    case 'filtered':
      return NOTHING;
  }
}

/**
 * @param {readonly number[]} ids
 * @param {readonly number[]} page
 */
function covers(ids, page) {
  return page.length > 0 && page.every((id) => ids.includes(id));
}

/**
 * @param {Selection} before
 * @param {readonly number[]} ids
 * @param {readonly number[]} page
 * @returns {Selection}
 */
function ticked(before, ids, page) {
  if (ids.length > MAX_TICKED) return { ...before, refused: true };
  if (ids.length === 0) return NOTHING;
  return { mode: ids.length === page.length && covers(ids, page) ? 'page' : 'ticked', ids, refused: false };
}

/**
 * Returns the number of selected contacts: one number for the button, the sentence, the request and the result.
 *
 * @param {Selection} selection
 * @param {number} total The contacts that the filter selects.
 */
export function count(selection, total) {
  return selection.mode === 'all' ? total : selection.ids.length;
}

/**
 * Returns the state of a check box: of one contact, or of the page.
 *
 * @param {Selection} selection
 * @param {readonly number[]} ids
 * @returns {'on' | 'off' | 'mixed'}
 */
export function box(selection, ids) {
  if (ids.length === 0) return 'off';
  if (selection.mode === 'all') return 'on';
  const on = ids.filter((id) => selection.ids.includes(id)).length;
  return on === 0 ? 'off' : on === ids.length ? 'on' : 'mixed';
}

/**
 * Returns the parameters that name the selected contacts in an address: the numbers, or the filter and `of=all`.
 *
 * @param {Selection} selection
 * @param {Filter} filter
 */
export function addressOf(selection, filter) {
  if (selection.mode !== 'all') return new URLSearchParams({ ids: selection.ids.join('.') });
  const query = queryOfFilter(filter);
  query.set('of', 'all');
  return query;
}

/**
 * Reads which contacts an address names.
 *
 * @param {URLSearchParams} query
 * @returns {{ids: number[]} | {filter: Filter} | null} `null` if the address names none, or too many.
 */
export function selectedIn(query) {
  const filter = filterOfQuery(query);
  if (query.get('of') === 'all') return query.has('ids') ? null : { filter };
  const ids = (query.get('ids') ?? '').split('.').filter(Boolean).map(Number);
  const valid = ids.length > 0 && ids.length <= MAX_TICKED && ids.every((id) => Number.isInteger(id) && id > 0);
  return valid && Object.keys(filter).length === 0 ? { ids: [...new Set(ids)] } : null;
}
