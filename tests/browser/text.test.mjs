/** The texts: plurals, values, dates of the portal's zone, and the sentence of a preview; and the rules of the console's files. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { contactClauses, peopleClauses } from '../../console/effect.js';
import { date, isText, setZone, shownZone, t, time, typedNumber } from '../../console/text.js';

const CONSOLE = new URL('../../console/', import.meta.url);
const files = readdirSync(CONSOLE).filter((name) => name.endsWith('.js') && !['preact.js', 'hooks.js', 'htm.js'].includes(name));
const source = (name) => readFileSync(new URL(name, CONSOLE), 'utf8');

test('a plural follows its number', () => {
  assert.equal(t('contacts.matched', { n: 1 }), '1 contact matches');
  assert.match(t('contacts.matched', { n: 0 }), /^0 contacts match$/);
  assert.match(t('contacts.matched', { n: 12345 }), /^12.345 contacts match$/);
});

test('times are in the zone of the portal, whatever the zone of the browser', () => {
  setZone('Pacific/Auckland');
  assert.match(time('2026-11-25T13:30:00.0000000+00:00', 'day'), /26/);
  setZone('America/Los_Angeles');
  assert.match(time('2026-11-26T05:30:00.0000000+00:00', 'day'), /25/);
  assert.match(date('2026-11-26'), /26/);
  setZone('Mars/Olympus');
  assert.equal(shownZone(), 'UTC');
});

test('a typed number may have separators, and anything else is no number', () => {
  assert.deepEqual(['1,234', '1 234', '1234', ' 12,34,567 ', '0'].map(typedNumber), [1234, 1234, 1234, 1234567, 0]);
  for (const typed of ['', 'ten', '-5', '1.5', '1,2', '5 contacts', '٥', '99999999999999999999']) assert.equal(typedNumber(typed), null, typed);
});

test('a text that is no date stays as it is', () => {
  for (const text of ['2026-13-45', '2026-02-30', '1997-08-25T10:30:00.0000000-07:00', 'x', '']) assert.equal(date(text), text);
});

const NANCY = 'n';
const ANDREW = 'a';
/** Writes clauses as the page does, with short names. */
const words = (clauses) => clauses.map(({ key, n, you = 0, give = [], take = [] }) => t(key, { n, you, give: give.join(), take: take.join() })).join('; ');
const contacts = (target, updated, becomePrivate, becomeShared) => words(contactClauses({ target, updated, becomePrivate, becomeShared }));

for (const [name, target, counts, sentence] of [
  ['all become private to a list', { isPrivate: true, managerList: [NANCY] }, [312, 312, 0], '312 contacts become private to n'],
  ['all become private to nobody', { isPrivate: true, managerList: [] }, [1, 1, 0], '1 contact becomes private to administrators'],
  ['some become private', { isPrivate: true, managerList: [NANCY] }, [12, 9, 0], '9 contacts become private to n; 3 contacts, already private, get another list'],
  ['none becomes private', { isPrivate: true, managerList: [NANCY] }, [1, 0, 0], '1 contact gets the list n'],
  ['lists become empty', { isPrivate: true, managerList: [] }, [2, 0, 0], '2 contacts get an empty list'],
  ['private contacts get a person', { isPrivate: true, addManagers: [NANCY] }, [1, 0, 0], '1 contact gets n in its list'],
  ['private, with more people', { isPrivate: true, addManagers: [NANCY] }, [2, 2, 0], '2 contacts become private, with n in the lists'],
  ['private, with fewer people', { isPrivate: true, removeManagers: [NANCY] }, [2, 2, 0], '2 contacts become private, without n in the lists'],
  ['private, with other people', { isPrivate: true, addManagers: [ANDREW], removeManagers: [NANCY] }, [1, 1, 0], '1 contact becomes private, with a and without n in the list'],
  ['private, with the same people', { isPrivate: true, addManagers: [] }, [2, 2, 0], '2 contacts become private'],
  ['all become shared', { isPrivate: false, managerList: [] }, [9, 0, 9], '9 contacts become shared with everyone'],
  ['some become shared', { isPrivate: false, addManagers: [NANCY] }, [9, 0, 5], '5 contacts become shared with everyone; 4 contacts, already shared, change in their list or in who may edit'],
  ['people are added', { addManagers: [NANCY] }, [1, 0, 0], '1 contact gets n in its list'],
  ['people are removed', { removeManagers: [NANCY] }, [2, 0, 0], '2 contacts lose n from their lists'],
  ['people are handed over', { addManagers: [ANDREW], removeManagers: [NANCY] }, [20, 0, 0], '20 contacts get a in their lists and lose n'],
  ['the counts are not there', { isPrivate: true, managerList: [NANCY] }, [3, undefined, undefined], '3 contacts change'],
]) {
  test(`contacts: ${name}`, () => assert.equal(contacts(target, ...counts), sentence));
}

const affected = (users, caller = 0) => ({ users, caller, largest: [] });
for (const [name, loses, gains, sentence] of [
  ['nobody', affected(0), affected(0), 'nobody loses sight of a contact'],
  ['others lose', affected(14), affected(0), '14 people lose sight of some of them'],
  ['others and the caller lose', affected(14, 3), affected(0), '14 people lose sight of some of them, you of 3'],
  ['the caller alone loses', affected(1, 3), affected(0), 'you alone lose sight of 3 of them'],
  ['one loses and two gain', affected(1), affected(2), '1 person loses sight of some of them; 2 people gain sight of some of them'],
  ['the effect is not there', undefined, undefined, ''],
]) {
  test(`people: ${name}`, () => assert.equal(words(peopleClauses({ loses, gains })), sentence));
}

test('every text that a view names exists, and every text is named', () => {
  const all = files.map(source).join('\n');
  const keys = [...source('text.js').matchAll(/^ {2}'([\w.-]+)':/gm)].map((match) => match[1]);
  assert.ok(keys.length > 200);
  const dynamic = [...all.matchAll(/`([\w.-]+\.)\$\{/g)].map((match) => match[1]);
  const views = files.filter((name) => name !== 'text.js').map(source).join('\n');
  const unnamed = keys.filter((key) => !views.includes(`'${key}'`) && !dynamic.some((start) => key.startsWith(start)));
  assert.deepEqual(unnamed, []);
  for (const [, key] of views.matchAll(/\bt\('([\w.-]+)'/g)) assert.ok(isText(key), key);
});

test('no two texts are equal, apart from a verb and a noun of the same form', () => {
  const twice = [
    ['person', 'contact.person'], ['signin.title', 'signin.submit'], ['select.set.none', 'access.title'], ['access.preview', 'job.kind.preview'],
    ['job.kind.undo', 'job.undo'], ['filter.part.contactListView', 'filter.part.isShared'],
  ];
  const keys = new Map();
  for (const [, key, text] of source('text.js').matchAll(/^ {2}'([\w.-]+)': (.*),$/gm)) keys.set(text, [...(keys.get(text) ?? []), key]);
  assert.deepEqual([...keys.values()].filter((all) => all.length > 1).sort(), twice.sort());
});

test('every export of a module is imported elsewhere, and every class of the style is used', () => {
  const tests = readdirSync(new URL('.', import.meta.url)).filter((name) => name.endsWith('.mjs')).map((name) => readFileSync(new URL(name, import.meta.url), 'utf8'));
  for (const name of files) {
    const others = [...files.filter((one) => one !== name).map(source), ...tests];
    const imported = new Set(others.flatMap((text) => [
      ...[...text.matchAll(/\{([^{}]*)\} (?:from|= await import\()/g)].flatMap(([, names]) => names.split(',').map((one) => one.trim())),
      ...[...text.matchAll(/await import\('[^']+'\)\)\.(\w+)/g)].map(([, one]) => one),
    ]));
    for (const [, one] of source(name).matchAll(/^export (?:async )?(?:function|const|class) (\w+)/gm)) assert.ok(imported.has(one), `${name}: ${one}`);
  }
  const all = files.map(source).join('\n');
  // The end of these names comes from the data.
  const built = /^(access|bar|state)-/;
  for (const [, one] of source('style.css').matchAll(/(?<=[\s,:(>]|^)\.([a-z][\w-]*)(?=[^{}]*\{)/gm)) {
    if (!built.test(one)) assert.match(all, new RegExp(`[ "'\`]${one}[ "'\`]`), one);
  }
});

test('no comment has a sentence that begins with What, Who, That or Of', () => {
  for (const name of files) {
    const comments = [...source(name).matchAll(/\/\*\*?[^]*?\*\/|(?<=^|\s)\/\/ .*/g)].map(([comment]) => comment.replace(/\s*\n\s*\* ?/g, ' '));
    for (const comment of comments) assert.doesNotMatch(comment, /\b(What|Who|That|Of)\b/, name);
  }
});

test('the console has no inline style, no inner HTML and only relative imports', () => {
  for (const name of files) {
    const text = source(name);
    assert.doesNotMatch(text, /innerHTML|dangerouslySetInnerHTML|style="|\beval\(|new Function/, name);
    for (const [, from] of text.matchAll(/(?:^import[^']*|await import\()'([^']+)'/gm)) assert.match(from, /^\.\/[\w-]+\.js$/, name);
  }
  assert.doesNotMatch(source('index.html'), /<style|style=|<script>|onload=/);
});

test('the console is smaller than 100 KB, compressed', () => {
  const served = readdirSync(CONSOLE).filter((name) => /\.(js|css|svg|html)$/.test(name));
  const size = served.reduce((sum, name) => sum + gzipSync(readFileSync(new URL(name, CONSOLE)), { level: 9 }).length, 0);
  assert.ok(size < 100_000, `${size} bytes`);
});

test('the page preloads exactly the modules of the first visit', () => {
  const first = new Set();
  const visit = (name) => {
    if (first.has(name)) return;
    first.add(name);
    for (const [, next] of source(name).matchAll(/^(?:import|export)[^;]*?from\s?['"]\.\/([\w-]+\.js)['"]/gms)) visit(next);
  };
  visit('app.js');
  const page = source('index.html');
  const preloaded = [...page.matchAll(/modulepreload" href="\/console\/HASH\/([\w-]+\.js)"/g)].map((match) => match[1]);
  first.add('hooks.js').add('preact.js');
  assert.deepEqual(preloaded.sort(), [...first].sort());
  const fetched = new Set([...page.matchAll(/\/console\/HASH\/([\w.-]+)/g)].map((match) => match[1]));
  assert.ok(1 + fetched.size <= 12, `${1 + fetched.size} files`);
});
