/** The selection and the filter: pure functions, tested without a browser. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  FIELDS, MAX_TICKED, NOTHING, addressOf, box, changeOfFilter, count, filterOfQuery, filterOfView, fingerprint,
  queryOfFilter, reduce, ruleOfFilter, selectedIn, spoiltField, unusable,
} from '../../console/selection.js';

const PAGE = [1, 2, 3];
const NEXT = [4, 5, 6];
const TOTAL = 312;

/** Plays actions on an empty selection. */
const play = (...actions) => actions.reduce(reduce, NOTHING);
const toggle = (id, page = PAGE) => ({ type: 'toggle', id, page });
const togglePage = (page = PAGE) => ({ type: 'toggle-page', page });
const all = (page = PAGE) => ({ type: 'all', page });
const paged = (page = NEXT) => ({ type: 'paged', page });
const ALL = [togglePage(), all()];

test('a toggle ticks a contact and a second toggle unticks the contact', () => {
  assert.deepEqual(play(toggle(2)), { mode: 'ticked', ids: [2], refused: false });
  assert.deepEqual(play(toggle(2), toggle(2)), NOTHING);
});

test('the box of the page selects the page, and the last tick of the page does too', () => {
  assert.equal(play(togglePage()).mode, 'page');
  assert.equal(play(toggle(1), toggle(2), toggle(3)).mode, 'page');
  assert.deepEqual(play(togglePage(), togglePage()), NOTHING);
});

test('the box of the page completes a part of the page', () => {
  assert.deepEqual(play(toggle(2), togglePage()).ids, [1, 2, 3]);
});

test('the boxes show on, off and mixed', () => {
  assert.equal(box(play(toggle(1)), PAGE), 'mixed');
  assert.equal(box(play(togglePage()), PAGE), 'on');
  assert.equal(box(NOTHING, PAGE), 'off');
  assert.equal(box(play(...ALL), [99]), 'on');
  assert.equal(box(play(...ALL), []), 'off');
});

test('all is offered only from a whole page', () => {
  assert.equal(play(all()).mode, 'none');
  assert.equal(play(toggle(1), all()).mode, 'ticked');
  assert.equal(play(...ALL).mode, 'all');
});

for (const [name, action, mode, ids] of [
  ['a toggle', toggle(2), 'ticked', [1, 3]],
  ['the box of the page', togglePage(), 'none', []],
  ['another page', paged(), 'none', []],
  ['the same page again', paged(PAGE), 'none', []],
  ['another filter', { type: 'filtered' }, 'none', []],
  ['clearing', { type: 'clear' }, 'none', []],
]) {
  test(`${name} ends the selection of all`, () => {
    const after = reduce(play(...ALL), action);
    assert.equal(after.mode, mode);
    assert.deepEqual([...after.ids], ids);
  });
}

test('ticks stay on other pages, and no longer count as a page there', () => {
  const after = play(togglePage(), paged());
  assert.equal(after.mode, 'ticked');
  assert.deepEqual(after.ids, PAGE);
  assert.equal(count(reduce(after, toggle(4, NEXT)), TOTAL), 4);
});

test('another filter clears ticks', () => {
  assert.deepEqual(play(toggle(1), { type: 'filtered' }), NOTHING);
});

test('at most a thousand contacts can be ticked, and a refused tick changes nothing', () => {
  const page = Array.from({ length: MAX_TICKED }, (_, at) => at + 1);
  const full = play(togglePage(page));
  assert.equal(full.ids.length, MAX_TICKED);
  const refused = reduce(reduce(full, paged([5000])), toggle(5000, [5000]));
  assert.equal(refused.refused, true);
  assert.deepEqual(refused.ids, full.ids);
  assert.equal(reduce(refused, toggle(1, page)).refused, false);
});

test('the number is the one of the mode', () => {
  assert.equal(count(NOTHING, TOTAL), 0);
  assert.equal(count(play(toggle(1)), TOTAL), 1);
  assert.equal(count(play(togglePage()), TOTAL), 3);
  assert.equal(count(play(...ALL), TOTAL), TOTAL);
});

test('random actions never select a contact that was not shown or named', () => {
  let seed = 7;
  const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
  for (let run = 0; run < 300; run += 1) {
    let selection = NOTHING;
    let page = PAGE;
    for (let step = 0; step < 40; step += 1) {
      const before = selection;
      const action = [
        () => toggle(page[random(page.length)], page), () => togglePage(page), () => all(page), () => ({ type: 'clear' }),
        () => ({ type: 'filtered' }),
        () => paged((page = page === PAGE ? NEXT : PAGE)),
      ][random(6)]();
      selection = reduce(selection, action);
      assert.equal(new Set(selection.ids).size, selection.ids.length);
      assert.ok(selection.ids.every((id) => PAGE.includes(id) || NEXT.includes(id)));
      assert.equal(selection.mode === 'none' || selection.mode === 'all', selection.ids.length === 0);
      if (selection.mode === 'page') assert.equal(box(selection, page), 'on');
      if (selection.mode === 'all') assert.ok(action.type === 'all');
      if (before.mode === 'all' && action.type !== 'all') assert.notEqual(selection.mode, 'all');
    }
  }
});

const QUERY = 'tags=Germany&tags=best+customer&contactStage=2&contactStage=0&contactType=1&contactListView=Company'
  + '&fromDate=1996-07-01&toDate=1997-01-01&filterValue=al&isShared=false&responsibleid=4e6f7274-6877-8e64-8000-000000000001';

test('a filter survives the address', () => {
  const filter = filterOfQuery(new URLSearchParams(QUERY));
  assert.deepEqual(Object.keys(filter).sort(), Object.keys(FIELDS).sort());
  assert.equal(queryOfFilter(filter).toString(), QUERY);
});

test('a change gets every field of the filter exactly once', () => {
  const filter = filterOfQuery(new URLSearchParams(QUERY));
  const { query, body } = changeOfFilter(filter);
  assert.deepEqual(body, {
    tags: ['Germany', 'best customer'], contactStage: [2, 0], contactType: [1], contactListView: 'Company',
    fromDate: '1996-07-01', toDate: '1997-01-01',
  });
  assert.equal(query.toString(), 'filterValue=al&isShared=false&responsibleid=4e6f7274-6877-8e64-8000-000000000001');
  assert.deepEqual([...Object.keys(body), ...query.keys()].sort(), Object.keys(filter).sort());
});

test('a rule gets every field of the filter, and shows the same filter again', () => {
  const filter = filterOfQuery(new URLSearchParams(QUERY));
  const rule = ruleOfFilter(filter);
  assert.equal(rule.isShared, false);
  assert.deepEqual(fingerprint(filterOfView(rule)), fingerprint(filter));
});

test('the filter of a job has no empty fields', () => {
  const shown = { tags: [], contactStage: [], contactListView: 'All', fromDate: null, filterValue: '', isShared: false };
  assert.deepEqual(filterOfView(shown), { isShared: ['false'] });
  assert.deepEqual(filterOfView(null), {});
});

test('the moments that bound the filter of a job are the days that were chosen', () => {
  const shown = { fromDate: '1997-08-25T00:00:00.0000000-07:00', toDate: '1997-08-26T23:59:59.9999999-07:00' };
  assert.deepEqual(filterOfView(shown), { fromDate: ['1997-08-25'], toDate: ['1997-08-26'] });
  const exact = '1997-08-25T10:30:00.0000000-07:00';
  assert.deepEqual(filterOfView({ fromDate: exact }), { fromDate: [exact] });
  // The first moment of a day is no whole day as the end of a filter, and the last moment is none as the start.
  const other = { fromDate: shown.toDate, toDate: shown.fromDate };
  assert.deepEqual(filterOfView(other), { fromDate: [other.fromDate], toDate: [other.toDate] });
});

test('a field of a job that the console does not know is an error, and never dropped', () => {
  assert.throws(() => filterOfView({ tags: ['a'], birthday: '1' }), { field: 'birthday' });
  assert.deepEqual(filterOfView({ birthday: null }), {});
});

test('a field that a change cannot take is named, and never dropped', () => {
  const fields = { ...FIELDS, birthday: {} };
  assert.deepEqual(unusable({ tags: ['a'], birthday: ['1'] }, fields), ['birthday']);
  assert.deepEqual(unusable(filterOfQuery(new URLSearchParams(QUERY))), []);
});

test('equal filters have equal fingerprints in any order', () => {
  const filter = (text) => fingerprint(filterOfQuery(new URLSearchParams(text)));
  assert.equal(filter('tags=a&tags=b'), filter('tags=b&tags=a&tags=a'));
  assert.notEqual(filter('tags=a'), filter('filterValue=a'));
});

for (const [address, name] of [
  ['tags=', 'tags'], ['tags=a&tags=%20', 'tags'], ['filterValue=a&filterValue=b', 'filterValue'], ['isShared=1', 'isShared'], ['isShared=TRUE', 'isShared'],
  ['responsibleid=a&responsibleid=b', 'responsibleid'], ['tags=a&tags=b&contactStage=1&contactStage=2&isShared=true&filterValue=a&filterValue=a', undefined], ['', undefined],
]) {
  test(`the address "${address}" holds ${name ? `${name} not whole` : 'a whole filter'}`, () => assert.equal(spoiltField(new URLSearchParams(address)), name));
}

test('the address of a change names the selected contacts and nothing else', () => {
  const filter = filterOfQuery(new URLSearchParams(QUERY));
  assert.deepEqual(selectedIn(addressOf(play(...ALL), filter)), { filter });
  assert.deepEqual(selectedIn(addressOf(play(...ALL), {})), { filter: {} });
  assert.deepEqual(selectedIn(addressOf(play(toggle(2), toggle(3)), filter)), { ids: [2, 3] });
});

for (const address of ['', 'tags=Germany', 'ids=', 'ids=1.x', 'ids=1.-2', 'ids=1&of=all', 'ids=1&tags=Germany']) {
  test(`the address "${address}" names no contacts`, () => assert.equal(selectedIn(new URLSearchParams(address)), null));
}
