/** The console on portals with people who left, long lists of people, a user of two portals, and contacts that a user may not edit. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { PROGRAM, api, launch, open, serveFile, until } from './harness.mjs';

const TOKEN = 'the-administrator-of-the-first-portal-0000';
const READER = 'a-user-of-the-first-portal-0000000000000000';
const [EMAIL, PASSWORD] = ['ada@example.com', 'a password of two portals'];
const user = (/** @type {number} */ n) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
const LONG_NAME = 'maximiliane.oberhofer-schwarzenberger@vertrieb.example.com';
const HEBREW_NAME = 'שלום כהן (CEO) 123';
/** The administrator, who signs in, is the first user. The last user leaves. */
const USERS = 12;

let served;
let browser;
before(async () => {
  const PasswordHash = execFileSync(PROGRAM, ['user', 'hash'], { input: `${PASSWORD}\n`, encoding: 'utf8' }).trim();
  const lines = ['second', 'first'].flatMap((Id) => [
    { portal: { Id, TimeZone: 'UTC' } },
    { user: { Id: user(1), DisplayName: `Ada of ${Id}`, IsAdmin: true, Email: EMAIL, PasswordHash } },
  ]);
  for (let n = 2; n <= USERS; n += 1) lines.push({ user: { Id: user(n), DisplayName: n === 4 ? LONG_NAME : n === 5 ? HEBREW_NAME : `User ${n}` } });
  const AccessList = Array.from({ length: USERS - 1 }, (_, n) => ({ Id: user(n + 2) }));
  lines.push(
    { token: { Token: TOKEN, UserId: user(1), Scopes: ['read', 'write'] } },
    { token: { Token: READER, UserId: user(2), Scopes: ['read', 'write'] } },
    { contact: { id: 1, DisplayName: 'Contact 1', IsCompany: true, Created: '2020-01-01', ShareType: 1, AccessList } },
    { contact: { id: 2, DisplayName: 'Contact 2', IsCompany: true, Created: '2020-01-01', ShareType: 2, AccessList: [] } },
    { delete: { user: user(USERS) } },
  );
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
  [served, browser] = await Promise.all([serveFile((file) => writeFileSync(file, text), TOKEN), launch()]);
});
after(async () => {
  await browser?.close();
  await served?.close();
});

test('a user of two portals with one password chooses the portal', async () => {
  const { page, end } = await open(browser, served, { signedIn: false, expected: [/400 .*authentication/] });
  await page.getByRole('textbox', { name: 'E-mail address' }).fill(EMAIL);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('alert').getByText(/the same password in/).first().waitFor();
  await page.getByRole('textbox', { name: 'Portal' }).fill('first');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Contacts' }).waitFor();
  await page.getByText('Ada of first').first().waitFor();
  await end();
});

test('the names of a long list take one call and one for each person who left, and somebody who left stays in the list', async () => {
  const { page, requests, end } = await open(browser, served, { at: '#/contact/1', expected: [/404 .*people/] });
  const section = page.getByRole('region', { name: 'Change access' });
  await section.getByRole('button', { name: /^Remove User 2$/ }).waitFor();
  await section.getByRole('button', { name: `Remove Somebody who left (${user(USERS).slice(0, 8)})` }).waitFor();
  // One more call asks for the person whom the list of all people lacks.
  const asked = requests.map((one) => new URL(one.split(' ')[1]).pathname.match(/people\/(filter|[0-9a-f]{8}-.*)$/)?.[1]).filter(Boolean);
  assert.deepEqual([...new Set(asked)], ['filter', user(USERS)]);
  await section.getByRole('radio', { name: /^Private/ }).check();
  await section.getByRole('button', { name: 'Remove User 3', exact: true }).click();
  await section.getByRole('button', { name: 'Preview and save' }).click();
  await page.getByRole('dialog', { name: 'Save this access?' }).getByRole('button', { name: 'Save' }).click();
  const changed = await until(async () => {
    const { response } = await api(served, 'GET', 'crm/contact/1');
    return response.isPrivate && response;
  }, 'the private contact');
  const left = Array.from({ length: USERS - 1 }, (_, n) => user(n + 2)).filter((id) => id !== user(3));
  assert.deepEqual(changed.accessList.map((/** @type {{id: string}} */ one) => one.id), left);
  await end();
});

test('a user sees which contacts of the list they may not edit', async () => {
  const { page, end } = await open(browser, served, { token: READER });
  await page.getByRole('row', { name: /Contact 2.*you may not edit/ }).waitFor();
  assert.equal(await page.getByRole('row', { name: /you may not edit/ }).count(), 1);
  assert.equal(await page.getByRole('checkbox', { name: 'Select Contact 2' }).count(), 0);
  await page.getByRole('checkbox', { name: 'Select this page' }).check();
  await page.getByRole('button', { name: 'Set access of 1 contact' }).waitFor();
  await end();
});

test('a long name scrolls no view sideways, and a name from right to left stands apart from its sentence', async () => {
  const { page, end } = await open(browser, served, { viewport: { width: 320, height: 800 }, expected: [/404 .*snapshots/] });
  for (const [at, text] of [[`who?userId=${user(4)}`, LONG_NAME], [`access?of=all&give=${user(4)}&take=${user(4)}`, LONG_NAME], [`who?userId=${user(5)}`, HEBREW_NAME]]) {
    await page.goto(`${served.origin}/console#/${at}`);
    const sentence = page.locator('p', { hasText: text });
    await sentence.first().waitFor();
    assert.deepEqual(await sentence.evaluateAll((all, text) => all.filter((one) => ![...one.querySelectorAll('bdi')].some((name) => name.textContent === text)).map((one) => one.textContent), text), []);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), at);
  }
  await end();
});
