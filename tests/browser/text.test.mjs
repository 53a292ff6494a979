/** The texts: plurals, values, dates of the portal's zone, and the pseudo-language. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
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

test('a typed number may have separators', () => {
  assert.deepEqual(['1,234', '1 234', '1234', '', 'x'].map(typedNumber), [1234, 1234, 1234, null, null]);
});

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
