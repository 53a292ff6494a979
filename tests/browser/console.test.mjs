/** The console in a browser, on the demo: what an administrator does, from the link to the undo. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { JANET, NANCY, api, launch, lossy, open, serve, until } from './harness.mjs';

let served;
let browser;
before(async () => {
  [served, browser] = await Promise.all([serve(), launch()]);
});
after(async () => {
  await browser?.close();
  await served?.close();
});

const GERMAN_COMPANIES = '#/contacts?tags=Germany&contactListView=Company';
const status = (page) => page.getByRole('status').first();
const jobs = async (token) => (await api(served, 'GET', 'crm/access/jobs?count=100', undefined, { token })).response;
const runs = async () => (await jobs()).filter((job) => !['preview', 'snapshot'].includes(job.kind));
/** Chooses people in a field. */
async function choose(page, label, names = []) {
  for (const name of names) {
    await page.getByRole('combobox', { name: label }).fill(name);
    await page.getByRole('option', { name }).click();
  }
}
/** Fills in the request: people for each list, or the people of a new list. Then asks for the preview. */
async function request(page, { give, take, list, visibility, note }) {
  if (list) await page.getByRole('radio', { name: 'Replace each list' }).check();
  await choose(page, 'Give access to', give);
  await choose(page, 'Take access from', take);
  await choose(page, 'People of the list', list);
  if (visibility) await page.getByRole('radio', { name: visibility }).check();
  if (note) await page.getByRole('textbox', { name: 'Note for the record' }).fill(note);
  await page.getByRole('button', { name: 'Preview', exact: true }).click();
  await page.getByRole('button', { name: /^Change \d/ }).waitFor();
}

test('a link signs in once, and leaves neither the address nor the history with its code', async () => {
  const { page, requests, context, end } = await open(browser, served, { signedIn: false, expected: [/401 .*authentication/] });
  const code = (await api(served, 'POST', 'authentication/code')).response.code;
  await page.goto(`${served.origin}/console#code=${code}`);
  await page.getByRole('heading', { name: 'Contacts' }).waitFor();
  // The link is a move within the page that is open.
  const pasted = (await api(served, 'POST', 'authentication/code')).response.code;
  await page.goto(`${served.origin}/console#code=${pasted}`);
  await until(() => !page.url().includes('code'), 'the exchange of the pasted code');
  await page.getByRole('heading', { name: 'Contacts' }).waitFor();
  await page.goto('about:blank');
  const second = await context.newPage();
  const fresh = (await api(served, 'POST', 'authentication/code')).response.code;
  await second.goto(`${served.origin}/console#code=${fresh}`);
  await second.getByRole('heading', { name: 'Contacts' }).waitFor();
  assert.ok(!second.url().includes('code'), second.url());
  assert.ok(!requests.some((one) => one.includes(fresh)), 'the code is in no address that was requested');
  const third = await context.newPage();
  await third.goto(`${served.origin}/console#code=${fresh}`);
  await third.getByText('This link was already used or has expired').waitFor();
  await third.getByRole('textbox', { name: 'E-mail address' }).fill(served.name);
  await third.getByLabel('Password').fill(served.password);
  assert.equal(await third.getByLabel('Password').getAttribute('autocomplete'), 'current-password');
  await third.getByRole('button', { name: 'Sign in' }).click();
  await third.getByRole('heading', { name: 'Contacts' }).waitFor();
  await end();
});

test('signing out ends the token on the server', async () => {
  const { page, end } = await open(browser, served);
  const token = await page.evaluate(() => sessionStorage.getItem('crm-access.token'));
  assert.equal((await api(served, 'GET', 'people/@self', undefined, { token })).status, 200);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByText('You are signed out.').waitFor();
  assert.equal((await api(served, 'GET', 'people/@self', undefined, { token })).status, 401);
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  await end();
});

test('the first visit fetches at most twelve files', async () => {
  const { page, requests, end } = await open(browser, served);
  await page.getByRole('table').waitFor();
  const files = requests.filter((one) => !one.includes('/api/'));
  assert.ok(files.length <= 12, files.join('\n'));
  await page.getByRole('link', { name: 'Jobs' }).click();
  await page.getByRole('heading', { name: 'Jobs' }).waitFor();
  assert.ok(requests.some((one) => one.endsWith('jobs.js')), 'another view is loaded when it is opened');
  await end();
});

test('the next visit asks the server for the page alone', async () => {
  const { page, context, end } = await open(browser, served);
  await page.getByRole('table').waitFor();
  const client = await context.newCDPSession(page);
  await client.send('Network.enable');
  const asked = new Map();
  client.on('Network.requestWillBeSent', ({ requestId, request }) => asked.set(requestId, request.url));
  client.on('Network.requestServedFromCache', ({ requestId }) => asked.delete(requestId));
  client.on('Network.responseReceived', ({ requestId, response }) => response.fromDiskCache && asked.delete(requestId));
  await page.goto('about:blank');
  await page.goto(`${served.origin}/console`);
  await page.getByRole('table').waitFor();
  const files = [...asked.values()].filter((url) => url.startsWith(served.origin) && !url.includes('/api/'));
  assert.deepEqual(files, [`${served.origin}/console`]);
  await end();
});

test('while another filter is read, nothing of the list before can be changed', async () => {
  const between = await lossy(served);
  const { page, end } = await open(browser, served, { origin: between.origin, at: '#/contacts?tags=Italy' });
  await page.getByRole('checkbox', { name: 'Select this page' }).check();
  const button = page.getByRole('button', { name: /^Set access/ });
  assert.equal(await button.isEnabled(), true);
  const release = between.hold((call) => call.url.includes('contact/filter?') && call.url.includes('Spain'));
  await page.goto(`${between.origin}/console#/contacts?tags=Spain`);
  await page.getByRole('button', { name: 'Remove Tag Spain' }).waitFor();
  await page.getByRole('checkbox', { name: /^Select Magazzini/ }).check();
  assert.equal(await button.isEnabled(), false);
  release();
  await page.getByRole('checkbox', { name: /^Select Bólido/ }).waitFor();
  await page.getByText('10 contacts match').first().waitFor();
  assert.equal(await page.getByRole('checkbox', { checked: true, name: /^Select/ }).count(), 0);
  assert.equal(await button.isEnabled(), false);
  await end();
  await between.close();
});

test('filter, preview, change, undo: the same number everywhere', async () => {
  const { page, end } = await open(browser, served, { at: GERMAN_COMPANIES });
  await page.getByText('11 contacts match').first().waitFor();
  await page.getByRole('checkbox', { name: 'Select this page' }).check();
  await page.getByText('11 contacts of this page selected').first().waitFor();
  await page.getByRole('button', { name: 'Set access of 11 contacts' }).click();
  await page.getByRole('heading', { name: 'Set access' }).waitFor();
  await page.getByText('11 contacts', { exact: true }).waitFor();
  await request(page, { list: ['Nancy Davolio'], visibility: /^Private/, note: 'audit 7' });
  await page.getByText(/^\d+ contacts become private to Nancy Davolio;.*; 7 people lose sight of some of them/).waitFor();
  const before = page.getByRole('table', { name: 'Before and after' });
  await before.getByRole('row', { name: /Alfreds Futterkiste.*Shared.*Private.*Nancy Davolio/ }).waitFor();
  const preview = page.url();
  await page.getByRole('button', { name: 'Change 11 contacts' }).click();
  await page.getByText('11 contacts were changed.').first().waitFor();
  assert.notEqual(page.url(), preview, 'the address holds the run');
  const [job] = await runs();
  assert.deepEqual([job.kind, job.updated, job.note], ['contacts', 11, 'audit 7']);
  const contact = async () => (await api(served, 'GET', 'crm/contact/1')).response;
  assert.equal((await contact()).isPrivate, true);

  await page.getByRole('button', { name: 'Undo', exact: true }).click();
  const dialog = page.getByRole('dialog', { name: 'Undo this job' });
  await dialog.getByText('11 contacts get back the access they had before the job.').waitFor();
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'hidden' });
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Undo', 'the focus is back where it was');
  await page.getByRole('button', { name: 'Undo', exact: true }).click();
  await dialog.getByRole('textbox', { name: 'Note for the record' }).fill('too early');
  await dialog.getByRole('button', { name: 'Restore 11 contacts' }).click();
  await until(async () => (await contact()).isShared, 'the undo');
  const [undo] = await runs();
  assert.deepEqual([undo.kind, undo.undoOf, undo.note], ['undo', job.id, 'too early']);
  await end();
});

test('all that match: the number is typed, and another preview empties the field', async () => {
  const { page, requests, end } = await open(browser, served, { at: '#/contacts?tags=Germany&count=50' });
  await page.getByText('22 contacts match').first().waitFor();
  await page.goto(`${served.origin}/console#/contacts?contactStage=2`);
  await page.getByText('122 contacts match').first().waitFor();
  await page.getByRole('checkbox', { name: 'Select this page' }).check();
  await page.getByRole('button', { name: 'Select all 122 that match' }).click();
  await page.getByText('All 122 contacts that match the filter selected').first().waitFor();
  await page.getByRole('button', { name: 'Next page' }).click();
  await page.getByText('26–50 of 122').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Set access', exact: true }).isDisabled(), true, 'a page ends the selection of all');
  await page.getByRole('checkbox', { name: 'Select this page' }).check();
  await page.getByRole('button', { name: 'Select all 122 that match' }).click();
  await page.getByRole('button', { name: 'Set access of 122 contacts' }).click();
  await request(page, { give: ['Janet Leverling'], visibility: /^Private/ });
  const number = await page.getByRole('button', { name: /^Change \d+ contacts$/ }).textContent();
  const n = Number(number.match(/\d+/)[0]);
  const change = page.getByRole('button', { name: `Change ${n} contacts` });
  assert.equal(await change.isDisabled(), true);
  const field = page.getByRole('textbox', { name: `type the number of contacts that change: ${n}` });
  for (const [typed, fault] of [['ten', 'Type a whole number such as'], ['٥', 'Type a whole number such as'], ['-5', 'Type a whole number such as'], [String(n - 1), 'This is not the number']]) {
    await field.fill(typed);
    await field.press('Tab');
    await page.getByText(fault).waitFor();
    assert.equal(await field.getAttribute('aria-invalid'), 'true', typed);
    assert.equal(await change.isDisabled(), true, typed);
  }
  await field.fill(String(n));
  assert.equal(await change.isDisabled(), false);
  await page.getByRole('button', { name: 'Change the request' }).click();
  await page.getByRole('button', { name: 'Preview', exact: true }).click();
  await field.waitFor();
  assert.equal(await field.inputValue(), '');
  assert.ok(!requests.some((one) => one.endsWith('/apply')), 'nothing was applied');
  await end();
});

test('two tabs with one preview make one job', async () => {
  // The call of the second tab may meet the call of the first; the service refuses the call, and the tab asks again.
  const { page, context, visit, end } = await open(browser, served, { at: '#/access?of=all&tags=France&contactListView=Company', expected: [/409 .*\/apply/] });
  await request(page, { give: ['Janet Leverling'], visibility: /^Private/ });
  const address = page.url().split('#')[1];
  const other = await context.newPage();
  await visit(other);
  await other.goto(`${served.origin}/console#${address}`);
  const change = (tab) => tab.getByRole('button', { name: /^Change \d+ contact/ });
  await change(other).waitFor();
  const earlier = (await runs()).length;
  await Promise.all([change(page).dblclick(), change(other).click()]);
  for (const tab of [page, other]) await tab.getByText(/contacts? (was|were) changed\./).first().waitFor();
  assert.equal((await runs()).length, earlier + 1);
  await end();
});

test('a lost answer is asked for again, and makes one job', async () => {
  const between = await lossy(served);
  const { page, end } = await open(browser, served, { origin: between.origin, at: '#/access?of=all&tags=Austria', expected: [/ERR_EMPTY_RESPONSE|ERR_CONNECTION/] });
  await request(page, { give: ['Janet Leverling'], visibility: /^Private/ });
  const earlier = (await runs()).length;
  between.lose = (call) => call.url.includes('/apply') && between.lost < 1;
  await page.getByRole('button', { name: /^Change \d+ contact/ }).click();
  await page.getByText(/contacts? (was|were) changed\./).first().waitFor();
  assert.equal(between.lost, 1);
  assert.equal((await runs()).length, earlier + 1);
  await end();
  await between.close();
});

test('without a connection the page says so, changes nothing, and goes on later', async () => {
  const { page, context, end } = await open(browser, served, { at: '#/access?of=all&tags=Belgium', expected: [/ERR_INTERNET_DISCONNECTED/] });
  await request(page, { give: ['Janet Leverling'], visibility: /^Private/ });
  const earlier = (await runs()).length;
  await context.setOffline(true);
  await page.getByRole('button', { name: /^Change \d+ contact/ }).click();
  const alert = page.getByRole('alert');
  await alert.getByText('The service did not answer.').waitFor();
  assert.equal((await runs()).length, earlier);
  await context.setOffline(false);
  await alert.getByRole('button', { name: 'Try again' }).click();
  await page.getByText(/contacts? (was|were) changed\./).first().waitFor();
  assert.equal((await runs()).length, earlier + 1);
  await end();
});

test('ticked contacts: before and after, who loses, and one job', async () => {
  const { page, end } = await open(browser, served, { at: '#/contacts?tags=Italy&contactListView=Company' });
  await page.getByRole('checkbox', { name: /^Select Magazzini/ }).check();
  await page.getByRole('checkbox', { name: /^Select Reggiani/ }).check();
  await page.getByRole('button', { name: 'Set access of 2 contacts' }).click();
  await request(page, { list: ['Nancy Davolio'], visibility: /^Private/ });
  await page.getByText(/^2 contacts become private to Nancy Davolio; \d people lose sight of some of them\.$/).waitFor();
  await page.getByRole('table', { name: 'People who stop seeing contacts' }).getByRole('row', { name: /Janet Leverling/ }).waitFor();
  await page.getByRole('button', { name: 'Change 2 contacts' }).click();
  await page.getByText('2 contacts were changed.').first().waitFor();
  const [job] = await runs();
  assert.equal(job.kind, 'contacts');
  assert.equal(job.updated, 2);
  await end();
});

test('ticked contacts that are shared: people join their lists, and nobody loses sight', async () => {
  const { page, end } = await open(browser, served, { at: '#/contacts?tags=Spain&contactListView=Company' });
  await page.getByRole('checkbox', { name: /^Select Bólido/ }).check();
  await page.getByRole('checkbox', { name: /^Select Godos/ }).check();
  await page.getByRole('button', { name: 'Set access of 2 contacts' }).click();
  await request(page, { give: ['Nancy Davolio'] });
  await page.getByText('2 contacts get Nancy Davolio in their lists; nobody loses sight of a contact.').waitFor();
  await end();
});

test('a change of ticked contacts changes what the preview showed, and leaves what somebody else changed since', async () => {
  const { page, end } = await open(browser, served, { at: '#/contacts?tags=Portugal&contactListView=Company' });
  await page.getByRole('checkbox', { name: /^Select Princesa/ }).check();
  await page.getByRole('checkbox', { name: /^Select Furia/ }).check();
  const address = await page.getByRole('link', { name: /^Princesa/ }).getAttribute('href');
  const id = address.match(/\d+/)[0];
  await page.getByRole('button', { name: 'Set access of 2 contacts' }).click();
  await request(page, { list: ['Nancy Davolio'], visibility: /^Private/ });
  await api(served, 'PUT', `crm/contact/${id}/access`, { isShared: false, managerList: [JANET] });
  await page.getByRole('button', { name: 'Change 2 contacts' }).click();
  await page.getByText('1 contact was changed.').first().waitFor();
  await page.getByText('1 was changed since and left alone.').first().waitFor();
  const { accessList } = (await api(served, 'GET', `crm/contact/${id}`)).response;
  assert.deepEqual(accessList.map((one) => one.id), [JANET]);
  await end();
});

test('the contacts of one person are handed to another person in one form', async () => {
  await api(served, 'PUT', 'crm/contact/access', { contactid: [50, 51], isShared: false, managerList: [NANCY] });
  const { page, end } = await open(browser, served, { at: `#/who?userId=${NANCY}`, expected: [/404 .*snapshots/] });
  await page.getByRole('link', { name: 'Hand all contacts of Nancy Davolio over to somebody else' }).click();
  await page.getByRole('list', { name: 'Chosen people' }).getByText('Nancy Davolio').waitFor();
  await choose(page, 'Give access to', ['Janet Leverling']);
  await page.getByRole('button', { name: 'Preview', exact: true }).click();
  await page.getByText(/contacts get Janet Leverling in their lists and lose Nancy Davolio; 1 person loses sight of some of them/).waitFor();
  const change = page.getByRole('button', { name: /^Change \d+ contacts$/ });
  const n = (await change.textContent()).match(/\d+/)[0];
  await page.getByRole('textbox', { name: /To confirm/ }).fill(n);
  await change.click();
  await page.getByText(`${n} contacts were changed.`).first().waitFor();
  assert.equal((await api(served, 'GET', `crm/contact/filter?responsibleid=${NANCY}&count=1`)).total, 0);
  const { accessList } = (await api(served, 'GET', 'crm/contact/50')).response;
  assert.deepEqual(accessList.map((one) => one.id), [JANET]);
  const [job] = await runs();
  assert.deepEqual(job.target, { addManagers: [JANET], removeManagers: [NANCY] });
  await end();
});

test('one person cannot both get and lose access, and a request without a change has no preview', async () => {
  const { page, end } = await open(browser, served, { at: '#/access?of=all&tags=Italy' });
  const preview = page.getByRole('button', { name: 'Preview', exact: true });
  await page.getByText('Name at least one person, or choose private or shared.').waitFor();
  assert.equal(await preview.isDisabled(), true);
  await choose(page, 'Give access to', ['Nancy Davolio']);
  assert.equal(await preview.isDisabled(), false);
  await choose(page, 'Take access from', ['Nancy Davolio']);
  await page.getByText('One person cannot both get access and lose access: Nancy Davolio.').waitFor();
  assert.equal(await preview.isDisabled(), true);
  await page.getByRole('radio', { name: 'Replace each list' }).check();
  await page.getByText('Choose private or shared.').waitFor();
  await end();
});

test('a user who would lose sight of contacts is told so', async () => {
  const { page, end } = await open(browser, served, { token: served.user, at: '#/access?of=all&tags=Argentina' });
  await request(page, { list: ['Andrew Fuller'], visibility: /^Private/ });
  await page.getByText('6 contacts become private to Andrew Fuller; 8 people lose sight of some of them, you of 6.').waitFor();
  await end();
});

test('without people, contacts become private and keep their lists', async () => {
  const { page, end } = await open(browser, served, { at: '#/access?of=all&tags=Norway&contactListView=Company' });
  await request(page, { visibility: /^Private/ });
  await page.getByText(/^\d contacts? becomes? private; \d people lose sight/).waitFor();
  const [preview] = (await api(served, 'GET', 'crm/access/jobs?kind=preview&count=1')).response;
  assert.deepEqual(preview.target, { isPrivate: true, addManagers: [] });
  await end();
});

/** Opens a view behind a connection that can refuse, hold and lose calls. */
async function behind(options, check) {
  const between = await lossy(served);
  try {
    const { page, end } = await open(browser, served, { origin: between.origin, ...options });
    await check(page, between);
    await end();
  } finally {
    await between.close();
  }
}
const BUSY = [/503 \(Service Unavailable\)/];

test('an undo whose contacts cannot be counted in time says so, and can be confirmed', () =>
  behind({ at: '#/access?of=all&tags=Denmark', expected: BUSY }, async (page, between) => {
    await request(page, { give: ['Janet Leverling'], visibility: /^Private/ });
    await page.getByRole('button', { name: /^Change \d+ contact/ }).click();
    await page.getByText(/contacts? (was|were) changed\./).first().waitFor();
    const [job] = await runs();
    between.refuse = (call) => call.url.includes('/undo?dryRun=true') && 'not-counted-in-time';
    await page.getByRole('button', { name: 'Undo', exact: true }).click();
    const dialog = page.getByRole('dialog', { name: 'Undo this job' });
    await dialog.getByRole('status').getByText('There are too many contacts to count').waitFor();
    assert.equal(await dialog.getByRole('alert').count(), 0);
    await dialog.getByRole('button', { name: 'Restore the contacts' }).click();
    await until(async () => (await runs())[0].undoOf === job.id && (await runs())[0].state === 'done', 'the undo');
    assert.equal((await runs())[0].updated, job.updated);
  }));

test('an undo whose answer is lost is made once', () =>
  behind({ at: '#/access?of=all&tags=Poland', expected: [/ERR_EMPTY_RESPONSE|ERR_CONNECTION/] }, async (page, between) => {
    await request(page, { give: ['Janet Leverling'], visibility: /^Private/ });
    await page.getByRole('button', { name: /^Change \d+ contact/ }).click();
    await page.getByText(/contacts? (was|were) changed\./).first().waitFor();
    const earlier = (await runs()).length;
    between.lose = (call) => call.method === 'POST' && call.url.endsWith('/undo');
    await page.getByRole('button', { name: 'Undo', exact: true }).click();
    const dialog = page.getByRole('dialog', { name: 'Undo this job' });
    const note = dialog.getByRole('textbox', { name: 'Note for the record' });
    assert.equal(await note.isEditable(), true);
    await dialog.getByRole('button', { name: /^Restore/ }).click();
    // The client has given up; the next click carries the same key and the same note.
    await dialog.getByRole('alert').getByText('The service did not answer.').waitFor();
    assert.equal(await note.isEditable(), false);
    assert.ok(between.lost > 1);
    between.lose = () => false;
    await dialog.getByRole('button', { name: 'Try again' }).click();
    await dialog.waitFor({ state: 'hidden' });
    assert.equal((await runs()).length, earlier + 1);
  }));

test('a count that fails is shown with a way to count again', () =>
  behind({ expected: BUSY }, async (page, between) => {
    const isCount = (call) => call.url.includes('contact/filter?') && call.url.includes('count=1&') && !call.url.includes('total=false');
    between.refuse = (call) => isCount(call) && 'throttled';
    await page.goto(`${between.origin}/console#/contacts?contactStage=2`);
    await page.getByText('An unknown number of contacts matches').waitFor();
    const alert = page.getByRole('alert').filter({ hasText: 'The contacts that match could not be counted' });
    await alert.getByText('The service is busy.').waitFor();
    await page.goto(`${between.origin}/console#/access?of=all&contactStage=2`);
    await page.getByRole('region', { name: 'At present' }).getByText('The service is busy.').waitFor();
    between.refuse = () => undefined;
    await alert.getByRole('button', { name: 'Try again' }).click();
    await page.getByText('122 contacts', { exact: true }).waitFor();
    assert.equal(await alert.count(), 0);
  }));

test('a view that does not load is an error, which disappears with the next view', () =>
  behind({ expected: BUSY }, async (page, between) => {
    between.refuse = (call) => call.url.endsWith('/jobs.js') && 'throttled';
    await page.getByRole('link', { name: 'Jobs' }).click();
    await page.getByRole('alert').waitFor();
    await page.getByRole('link', { name: 'Contacts' }).click();
    await page.getByRole('table').waitFor();
    assert.equal(await page.getByRole('alert').count(), 0);
    between.refuse = (call) => call.url.endsWith('people/@self') && 'throttled';
    await page.reload();
    await page.getByRole('alert').getByText('The service is busy.').waitFor();
    between.refuse = () => undefined;
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByRole('table').waitFor();
    assert.equal(await page.getByRole('alert').count(), 0);
  }));

test('a sign-out that fails is tried again, and the page stays until then', () =>
  behind({ expected: BUSY }, async (page, between) => {
    const token = await page.evaluate(() => sessionStorage.getItem('crm-access.token'));
    between.refuse = (call) => call.method === 'DELETE' && 'throttled';
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('alert').getByText('The service is busy.').waitFor();
    await page.getByRole('table').waitFor();
    between.refuse = () => undefined;
    await page.getByRole('alert').getByRole('button', { name: 'Try again' }).click();
    await page.getByText('You are signed out.').waitFor();
    assert.equal((await api(served, 'GET', 'people/@self', undefined, { token })).status, 401);
  }));

test('a call that ends late leaves the user on the page where the user is', () =>
  behind({ at: '#/access?of=all&tags=Finland' }, async (page, between) => {
    const leave = async (name) => {
      await page.getByRole('link', { name, exact: true }).click();
      await page.getByRole('heading', { level: 1, name }).waitFor();
    };
    let release = between.hold((call) => call.url.includes('dryRun=true'));
    await choose(page, 'Give access to', ['Janet Leverling']);
    await page.getByRole('button', { name: 'Preview', exact: true }).click();
    await leave('Rules');
    const ended = page.waitForResponse((answer) => answer.url().includes('dryRun=true'));
    release();
    await (await ended).finished();
    await page.getByRole('link', { name: 'New rule' }).first().click();
    await page.getByRole('textbox', { name: 'Name' }).fill('late');
    await choose(page, 'Give access to', ['Janet Leverling']);
    release = between.hold((call) => call.method === 'PUT' && call.url.includes('rules/late'));
    await page.getByRole('button', { name: 'Save the rule' }).click();
    await leave('Contacts');
    release();
    await page.getByRole('status').getByText('The rule is saved.').waitFor();
    await page.getByRole('heading', { level: 1, name: 'Contacts' }).waitFor();
    assert.match(page.url(), /#\/contacts$/);
    await api(served, 'DELETE', 'crm/access/rules/late');
  }));

test('a contact that is shared for reading stays so while the user changes its list alone', async () => {
  const contacts = (await api(served, 'GET', 'crm/contact/filter?isShared=true&count=1000&fields=id,shareType')).response;
  const { id } = contacts.find((one) => one.shareType === 2);
  const { page, requests, end } = await open(browser, served, { at: `#/contact/${id}` });
  const section = page.getByRole('region', { name: 'Change access' });
  assert.equal(await section.getByRole('radio', { name: /^Shared for reading/ }).isChecked(), true);
  await choose(page, 'People of the list', ['Nancy Davolio']);
  await section.getByRole('button', { name: 'Preview and save' }).click();
  const saving = page.getByRole('dialog', { name: 'Save this access?' });
  await saving.getByRole('definition').nth(1).getByText('Shared for reading').waitFor();
  await saving.getByRole('button', { name: 'Save' }).click();
  await saving.waitFor({ state: 'hidden' });
  assert.equal((await api(served, 'GET', `crm/contact/${id}`)).response.shareType, 2);
  assert.equal((await api(served, 'GET', `crm/contact/filter?responsibleid=${NANCY}&count=1000&fields=id`)).response.some((one) => one.id === id), true);
  assert.ok(requests.some((one) => one.startsWith('PUT')));
  await section.getByRole('radio', { name: /^Shared: everyone/ }).check();
  await section.getByRole('button', { name: 'Preview and save' }).click();
  await saving.getByRole('button', { name: 'Save' }).click();
  await until(async () => (await api(served, 'GET', `crm/contact/${id}`)).response.shareType === 1, 'the choice of the user');
  await end();
});

for (const reader of ['administrator', 'user']) {
  test(`a shared contact keeps its list when it becomes private: changed by the ${reader}`, async () => {
    const path = `crm/contact/${reader === 'user' ? 70 : 71}`;
    await api(served, 'PUT', `${path}/access`, { isShared: true, managerList: [NANCY, JANET] });
    const { page, end } = await open(browser, served, { at: `#/contact/${path.split('/').pop()}`, ...(reader === 'user' && { token: served.user }) });
    const section = page.getByRole('region', { name: 'Change access' });
    if (reader === 'user') await section.getByText('The list of a shared contact is shown to administrators only.').waitFor();
    else await section.getByRole('button', { name: /Nancy Davolio/ }).waitFor();
    await section.getByRole('radio', { name: /^Private/ }).check();
    await section.getByRole('button', { name: 'Preview and save' }).click();
    const saving = page.getByRole('dialog', { name: 'Save this access?' });
    await saving.getByRole('definition').nth(1).getByText('Nancy Davolio').waitFor();
    await saving.getByRole('button', { name: 'Save' }).click();
    const lists = async () => (await api(served, 'GET', path)).response.accessList.map((one) => one.id).sort();
    await until(async () => (await lists()).length > 0, 'the contact to be private');
    assert.deepEqual(await lists(), [NANCY, JANET].sort());
    await end();
  });
}

test('the name of a person is asked for once, however many rows show the person', async () => {
  for (const id of [60, 61, 62]) await api(served, 'PUT', `crm/contact/${id}/access`, { isShared: false, managerList: [JANET] });
  const { page, requests, end } = await open(browser, served, { at: '#/jobs?kind=contact' });
  await until(async () => (await page.getByRole('row', { name: /List Janet Leverling/ }).count()) > 2, 'the names of the rows');
  const asked = requests.filter((one) => one.endsWith(`people/${JANET}`));
  assert.equal(asked.length, 1, asked.join('\n'));
  await end();
});

for (const day of ['2026-13-45', '2026-02-30', 'yesterday']) {
  test(`an address with the date ${day} shows the sentence of the service`, async () => {
    const { page, end } = await open(browser, served, { at: '#/rules', expected: [/400 .*contact\/filter/] });
    await page.goto(`${served.origin}/console#/contacts?fromDate=${day}`);
    await page.getByRole('button', { name: `Remove Created from ${day}` }).waitFor();
    await page.getByRole('alert').first().getByText(/fromDate/).first().waitFor();
    await page.getByRole('button', { name: `Remove Created from ${day}` }).click();
    await page.getByRole('table').waitFor();
    await end();
  });
}

for (const [query, name] of [['tagz=Germany', 'tagz'], ['isShared=1', 'isShared'], ['tags=', 'tags'], ['responsibleid=a&responsibleid=b', 'responsibleid']]) {
  test(`an address with ${query}, which no filter holds whole, shows an error and lists nothing`, async () => {
    const { page, requests, end } = await open(browser, served, { at: '#/rules' });
    const earlier = requests.length;
    await page.goto(`${served.origin}/console#/contacts?${query}`);
    await page.getByRole('alert').getByText(name).waitFor();
    assert.ok(!requests.slice(earlier).some((one) => one.includes('contact/filter')));
    await end();
  });
}

test('a question mark in the address belongs to its value', async () => {
  const { page, requests, end } = await open(browser, served, { at: '#/contacts?filterValue=a?b&contactListView=Company' });
  await page.getByRole('button', { name: 'Remove Name contains a?b' }).waitFor();
  await until(() => requests.some((one) => one.includes('filterValue=a%3Fb') && one.includes('contactListView=Company')), 'the whole filter');
  await end();
});

test('a page after the end of the list leads to the last page', async () => {
  const { page, end } = await open(browser, served, { at: '#/contacts?tags=Germany&startIndex=75' });
  await page.getByRole('table').waitFor();
  await until(() => !page.url().includes('startIndex=75'), 'the last page');
  await page.getByRole('checkbox', { name: /^Select (?!this page)/ }).first().waitFor();
  await end();
});

test('after a save, the form of a shared contact shows the list that was saved', async () => {
  await api(served, 'PUT', 'crm/contact/72/access', { isShared: true, managerList: [NANCY] });
  const { page, end } = await open(browser, served, { at: '#/contact/72' });
  const section = page.getByRole('region', { name: 'Change access' });
  await section.getByRole('button', { name: /Nancy Davolio/ }).waitFor();
  await choose(section, 'People of the list', ['Janet']);
  await section.getByRole('button', { name: 'Preview and save' }).click();
  await page.getByRole('dialog', { name: 'Save this access?' }).getByRole('button', { name: 'Save' }).click();
  await page.getByRole('dialog').waitFor({ state: 'hidden' });
  const isSaved = async () =>
    (await section.getByRole('button', { name: /^Remove / }).count()) === 2 && section.getByRole('button', { name: 'Preview and save' }).isDisabled();
  await until(isSaved, 'the saved list, without a change to save');
  await end();
});

test('two people change a contact: the second sees both versions before anything is written', async () => {
  const { page, end } = await open(browser, served, { at: '#/contact/3', expected: [/412/] });
  const section = page.getByRole('region', { name: 'Change access' });
  await section.getByRole('radio', { name: /^Private/ }).check();
  await section.getByRole('combobox', { name: 'People of the list' }).fill('Nancy');
  await page.getByRole('option', { name: /Nancy/ }).click();
  await api(served, 'PUT', 'crm/contact/3/access', { isShared: false, managerList: [JANET] });
  await section.getByRole('button', { name: 'Preview and save' }).click();
  const conflict = page.getByRole('dialog', { name: /changed this contact meanwhile/ });
  await conflict.getByText('Janet Leverling').waitFor();
  await conflict.getByText('Nancy Davolio').waitFor();
  await conflict.getByRole('button', { name: 'Replace it with yours' }).click();
  const saving = page.getByRole('dialog', { name: 'Save this access?' });
  const versions = saving.getByRole('definition');
  await versions.first().getByText('Private').waitFor();
  assert.match(await versions.first().textContent(), /Janet Leverling/, 'before is the version that is overwritten');
  assert.match(await versions.nth(1).textContent(), /Nancy Davolio/);
  await saving.getByRole('textbox', { name: 'Note for the record' }).fill('after a talk');
  await saving.getByRole('button', { name: 'Save' }).click();
  await until(async () => (await api(served, 'GET', 'crm/contact/3')).response.accessList.some((one) => one.id === NANCY), 'the change');
  const history = page.getByRole('table', { name: 'History of access' });
  await history.getByRole('row', { name: /One contact.*Andrew Fuller.*after a talk.*Janet Leverling.*Nancy Davolio/ }).waitFor();
  await history.getByRole('row', { name: /Imported with this access/ }).waitFor();
  const why = page.getByRole('region', { name: 'Who may see and edit' });
  await why.getByRole('combobox', { name: 'Ask about a person' }).fill('Janet');
  await page.getByRole('option', { name: /Janet/ }).click();
  await why.getByRole('status').getByText('The list of managers does not name this person').first().waitFor();
  await why.getByText('This access was set by Andrew Fuller').waitFor();
  await end();
});

test('jobs are found by their kind, their contact and their user', async () => {
  await api(served, 'PUT', 'crm/contact/32/access?note=once', { isShared: false, managerList: [JANET] });
  await api(served, 'PUT', 'crm/contact/access?note=twice', { contactid: [32, 36], isShared: false, managerList: [NANCY] });
  const { page, end } = await open(browser, served, { at: '#/jobs' });
  const rows = page.getByRole('table', { name: 'Jobs, newest first' }).getByRole('row');
  const once = rows.filter({ hasText: 'once' });
  const twice = rows.filter({ hasText: 'twice' });
  await page.getByRole('textbox', { name: 'Contact number' }).fill('32');
  await page.getByRole('textbox', { name: 'Contact number' }).press('Enter');
  await until(async () => (await rows.count()) === 3, 'the two jobs of the contact');
  assert.deepEqual([await once.count(), await twice.count()], [1, 1]);
  await page.getByRole('combobox', { name: 'Kind' }).selectOption('One contact');
  await until(async () => (await rows.count()) === 2, 'the job of one contact');
  assert.deepEqual([await once.count(), await twice.count()], [1, 0]);
  await page.getByRole('combobox', { name: 'User' }).fill('Nancy');
  await page.getByRole('option', { name: /Nancy/ }).click();
  await page.getByText('No job matches.').waitFor();
  await end();
});

test('a rule that gives access keeps its limit and its note, and its run is previewed', async () => {
  const { page, end } = await open(browser, served, { at: '#/rule?tags=Sweden&fromDate=1996-01-01' });
  await page.getByRole('textbox', { name: 'Name' }).fill('swedish');
  await page.getByRole('combobox', { name: 'Give access to' }).fill('Nancy');
  await page.getByRole('option', { name: /Nancy/ }).click();
  await page.getByRole('textbox', { name: 'Change at most' }).fill('500');
  await page.getByRole('textbox', { name: 'Note for the record' }).fill('by contract');
  await page.getByRole('button', { name: 'Preview a run' }).click();
  await page.getByRole('region', { name: 'Preview' }).getByText(/^\d+ contacts? gets? Nancy Davolio in (its list|their lists); nobody loses sight of a contact/).waitFor();
  await page.getByRole('radio', { name: /^Private/ }).check();
  assert.equal(await page.getByRole('region', { name: 'Preview' }).count(), 0, 'another request has no preview');
  await page.getByRole('radio', { name: /^Leave/ }).check();
  await page.getByRole('button', { name: 'Save the rule' }).click();
  await page.getByRole('row', { name: /swedish.*by contract.*Tag Sweden.*Created from Jan 1, 1996.*Give access to Nancy Davolio.*500/ }).waitFor();
  const { filter, ...rule } = (await api(served, 'GET', 'crm/access/rules/swedish')).response;
  assert.deepEqual([rule.target, rule.maxAffected, rule.note], [{ addManagers: [NANCY] }, 500, 'by contract']);
  await page.getByRole('link', { name: 'swedish' }).click();
  await page.getByRole('radio', { name: /^Private/ }).check();
  await page.getByRole('button', { name: 'Save the rule' }).click();
  await page.getByRole('row', { name: /swedish.*Private/ }).waitFor();
  const saved = (await api(served, 'GET', 'crm/access/rules/swedish')).response;
  assert.deepEqual([saved.filter, saved.target], [filter, { isPrivate: true, addManagers: [NANCY] }]);
  await page.getByRole('link', { name: 'swedish' }).click();
  await choose(page, 'Take access from', ['Janet Leverling']);
  await page.getByRole('button', { name: 'Save the rule' }).click();
  await page.getByRole('row', { name: /swedish.*Give access to Nancy Davolio.*Take access from Janet Leverling/ }).waitFor();
  assert.deepEqual((await api(served, 'GET', 'crm/access/rules/swedish')).response.target, { isPrivate: true, addManagers: [NANCY], removeManagers: [JANET] });
  await end();
});

test('a new rule never replaces a rule of the same name, and a limit is a number', async () => {
  const path = 'crm/access/rules/taken';
  await api(served, 'PUT', path, { filter: { tags: ['Italy'] }, target: { addManagers: [JANET] }, cron: '0 3 * * *', timeZone: 'UTC' });
  const { page, requests, end } = await open(browser, served, { at: '#/rule?tags=Germany', expected: [/412 .*rules\/taken/] });
  await page.getByRole('textbox', { name: 'Name' }).fill('taken');
  await page.getByRole('combobox', { name: 'Give access to' }).fill('Nancy');
  await page.getByRole('option', { name: /Nancy/ }).click();
  const save = page.getByRole('button', { name: 'Save the rule' });
  const limit = page.getByRole('textbox', { name: 'Change at most' });
  for (const typed of ['ten', '-5', '٥']) {
    await limit.fill(typed);
    await page.getByText('Type a whole number such as 500.').waitFor();
    assert.equal(await save.isDisabled(), true, typed);
  }
  assert.ok(!requests.some((one) => one.startsWith('PUT') && one.includes(path)));
  await limit.fill('');
  await save.click();
  await page.getByRole('alert').getByText('There is a rule with this name already').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Try again' }).count(), 0);
  assert.deepEqual((await api(served, 'GET', path)).response.target, { addManagers: [JANET] });
  await page.getByRole('textbox', { name: 'Name' }).fill('free');
  assert.equal(await page.getByRole('alert').count(), 0, 'the sentence was about the other name');
  await api(served, 'DELETE', path);
  await end();
});

test('the page of a preview shows the filter and the access of the job, whatever the address says', async () => {
  const { page, end } = await open(browser, served, { at: '#/access?of=all&tags=Sweden&contactListView=Company' });
  await request(page, { give: ['Nancy Davolio'], visibility: /^Private/ });
  const { response: before } = await api(served, 'GET', 'crm/access/jobs?kind=preview&count=1');
  const altered = page.url().replace('tags=Sweden', 'tags=Spain').replace('visibility=private', 'visibility=keep').replace(/give=[^&]*/, 'give=');
  await page.goto(altered);
  await page.getByText(/Nancy Davolio in (its list|the lists?|their lists);/).waitFor();
  await page.getByText('Tag Sweden').waitFor();
  assert.equal(await page.getByText('Tag Spain').count(), 0);
  await page.getByText('Private · Give access to Nancy Davolio').waitFor();
  assert.equal((await api(served, 'GET', 'crm/access/jobs?kind=preview&count=1')).response[0].id, before[0].id);
  await end();
});

test('an address whose preview is another job offers nothing to apply', async () => {
  const [run] = await runs();
  const { page, end } = await open(browser, served, { at: `#/access?ids=1&preview=${run.id}` });
  await page.getByText('This link leads to a job that is not a preview.').waitFor();
  assert.equal(await page.getByRole('button', { name: /^Change \d/ }).count(), 0);
  await end();
});

test('the contacts are counted by stage and by tag', async () => {
  const { page, end } = await open(browser, served, { at: '#/who', expected: [/404 .*snapshots/] });
  await page.getByText('The contacts were not counted yet.').waitFor();
  await page.getByRole('button', { name: 'Count now' }).click();
  await page.getByText(/^Counted on/).waitFor();
  const { all } = (await api(served, 'GET', 'crm/access/snapshots/latest')).response;
  const chart = page.getByRole('region', { name: 'By stage' });
  await chart.getByRole('button', { name: 'Show as a table' }).click();
  await chart.getByRole('row', { name: `All ${all.private} ${all.sharedForEditing} ${all.sharedForReading} 182` }).waitFor();
  await end();
});

test('a rule whose filter has an unknown field leaves the other rules readable', async () => {
  for (const name of ['known', 'unknown']) {
    await api(served, 'PUT', `crm/access/rules/${name}`, { filter: { tags: ['Italy'] }, target: { addManagers: [JANET] }, cron: '0 3 * * *', timeZone: 'UTC' });
  }
  const { page, end } = await open(browser, served, { at: '#/jobs' });
  await page.route('**/crm/access/rules', async (route) => {
    const response = await route.fetch();
    const body = await response.json();
    body.response.find((rule) => rule.name === 'unknown').filter.birthday = '1997-08-25';
    await route.fulfill({ response, body: JSON.stringify(body) });
  });
  await page.goto(page.url().replace(/#.*/, '#/rules'));
  await page.getByRole('row', { name: /^known.*Tag Italy/ }).waitFor();
  await page.getByRole('row', { name: /unknown.*cannot show the filter field “birthday”/ }).waitFor();
  for (const name of ['known', 'unknown']) await api(served, 'DELETE', `crm/access/rules/${name}`);
  await end();
});

test('every view with a filter in words says that the stages, types and tags could not be read', async () => {
  const rule = 'crm/access/rules/unread';
  await api(served, 'PUT', rule, { filter: { tags: ['Italy'] }, target: { addManagers: [JANET] }, cron: '0 3 * * *', timeZone: 'UTC' });
  const { response: job } = await api(served, 'PUT', 'crm/contact/filter/access?dryRun=true', { tags: ['Italy'], addManagers: [JANET] }, { headers: { Prefer: 'respond-async' } });
  const { page, end } = await open(browser, served, { expected: [/500 .*contact\/status/] });
  await page.route('**/crm/contact/status', (route) => route.fulfill({ status: 500, json: { error: { message: 'not now' } } }));
  for (const view of ['contacts', 'rules', 'rule/unread', 'access?of=all&tags=Italy', `job/${job.id}`]) {
    await page.goto(page.url().replace(/#.*/, `#/${view}`));
    await page.getByRole('alert').filter({ hasText: 'The stages, types and tags could not be read' }).waitFor();
  }
  await page.unroute('**/crm/contact/status');
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByRole('alert').waitFor({ state: 'detached' });
  await api(served, 'DELETE', rule);
  await end();
});

test('a form waits for the list of a shared contact, and says so if the list cannot be read', async () => {
  for (const id of [25, 26]) await api(served, 'PUT', `crm/contact/${id}/access`, { isShared: true, managerList: [NANCY] });
  const { page, end } = await open(browser, served, { at: '#/jobs', expected: [/500 .*history/] });
  const form = page.getByRole('region', { name: 'Change access' });
  let release;
  const held = new Promise((resolve) => {
    release = resolve;
  });
  await page.route('**/contact/25/access/history*', async (route) => {
    await held;
    await route.continue();
  });
  await page.goto(`${served.origin}/console#/contact/25`);
  await form.waitFor();
  assert.equal(await form.getByRole('radio').count(), 0);
  release();
  await form.getByRole('radio', { name: /^Private/ }).check();
  await page.route('**/contact/26/access/history*', (route) => route.fulfill({ status: 500, json: { error: { message: 'not now' } } }));
  await page.goto(`${served.origin}/console#/contact/26`);
  await form.getByText('The access can be changed once its history has been read.').waitFor();
  await page.unroute('**/contact/26/access/history*');
  await page.getByRole('button', { name: 'Try again' }).click();
  await form.getByRole('radio', { name: /^Private/ }).waitFor();
  await end();
});

test('a typed name that was not chosen is refused', async () => {
  const { page, requests, end } = await open(browser, served, { at: '#/access?of=all&tags=Italy' });
  await page.getByRole('radio', { name: /^Private/ }).check();
  await page.getByRole('combobox', { name: 'Give access to' }).fill('Nancy Davolio');
  await page.getByRole('option', { name: /Nancy/ }).waitFor();
  await page.getByRole('button', { name: 'Preview', exact: true }).click();
  await page.getByText('“Nancy Davolio” is not chosen. Choose a person from the list, or clear the field.').waitFor();
  assert.ok(!requests.some((one) => one.startsWith('PUT')), 'no preview starts');
  await choose(page, 'Give access to', ['Nancy Davolio']);
  await page.getByRole('button', { name: 'Preview', exact: true }).click();
  await page.getByRole('button', { name: /^Change \d/ }).waitFor();
  await end();
});

test('a field for people says that the people could not be read', async () => {
  const { page, end } = await open(browser, served, { at: '#/access?of=all&tags=Italy', expected: [/500 .*people/] });
  await page.route('**/people/filter*', (route) => route.fulfill({ status: 500, json: { error: { message: 'not now' } } }));
  await page.getByRole('combobox', { name: 'Give access to' }).fill('Nancy');
  await page.getByText('The people could not be read.').first().waitFor();
  await until(async () => (await status(page).textContent()).startsWith('The people could not be read.'), 'the message');
  await end();
});

test('ticked contacts are named with their present access', async () => {
  await api(served, 'PUT', 'crm/contact/70/access', { isShared: false, managerList: [NANCY] });
  await api(served, 'PUT', 'crm/contact/71/access', { isShared: false, managerList: [JANET] });
  const names = await Promise.all([70, 71].map(async (id) => (await api(served, 'GET', `crm/contact/${id}`)).response.displayName));
  const { page, end } = await open(browser, served, { at: '#/access?ids=70.71' });
  const present = page.getByRole('region', { name: 'At present' });
  await present.getByText(names.join(', ')).waitFor();
  await present.getByText('The private contacts have different managers: mixed.').waitFor();
  await end();
});

test('the preview of a rule says that its limit would stop the run', async () => {
  const { page, end } = await open(browser, served, { at: '#/rule?tags=Venezuela' });
  await choose(page, 'Give access to', ['Nancy Davolio']);
  await page.getByRole('textbox', { name: 'Change at most' }).fill('1');
  await page.getByRole('button', { name: 'Preview a run' }).click();
  await page.getByText(/^A run would change \d contacts, but may change at most 1: the run would write nothing\.$/).waitFor();
  await end();
});

test('the filter of a rule is changed in the list, and the form of a new rule keeps its fields meanwhile', async () => {
  const path = 'crm/access/rules/moving';
  const { page, end } = await open(browser, served, { at: '#/rule?tags=Sweden' });
  await page.getByRole('textbox', { name: 'Name' }).fill('moving');
  await choose(page, 'Give access to', ['Nancy Davolio']);
  await page.getByRole('link', { name: 'Show these contacts' }).click();
  await page.getByRole('button', { name: 'Remove Tag Sweden' }).click();
  await page.getByRole('checkbox', { name: /^Brazil/ }).check();
  await page.getByRole('list', { name: 'Active filter' }).getByText('Tag Brazil').waitFor();
  await page.getByRole('link', { name: 'Make a rule for these contacts' }).click();
  assert.equal(await page.getByRole('textbox', { name: 'Name' }).inputValue(), 'moving');
  await page.getByRole('button', { name: 'Save the rule' }).click();
  await page.getByRole('row', { name: /moving.*Tag Brazil.*Give access to Nancy Davolio/ }).waitFor();

  await page.getByRole('link', { name: 'moving' }).click();
  await page.getByRole('textbox', { name: 'Note for the record' }).fill('every contact');
  await page.getByRole('link', { name: 'Show these contacts' }).click();
  await page.getByRole('button', { name: 'Remove Tag Brazil' }).click();
  await page.getByText('182 contacts match').first().waitFor();
  await page.getByRole('link', { name: 'Use this filter for the rule moving' }).click();
  assert.equal(await page.getByRole('textbox', { name: 'Note for the record' }).inputValue(), 'every contact');
  await page.getByRole('button', { name: 'Save the rule' }).click();
  await page.getByRole('row', { name: /moving.*every contact/ }).waitFor();
  const { filter } = (await api(served, 'GET', path)).response;
  assert.deepEqual(filter.tags ?? [], []);
  await api(served, 'DELETE', path);
  await end();
});

test('an undo in two tabs is one job', async () => {
  const made = await api(served, 'PUT', 'crm/contact/72/access', { isShared: false, managerList: [JANET] });
  const job = made.headers.get('X-Job-Id');
  const first = await open(browser, served, { at: `#/job/${job}` });
  const second = await first.context.newPage();
  await first.visit(second);
  await second.goto(`${served.origin}/console#/job/${job}`);
  const restore = (page) => page.getByRole('button', { name: 'Restore 1 contact' });
  for (const page of [first.page, second]) {
    await page.getByRole('button', { name: 'Undo', exact: true }).click();
    await restore(page).waitFor();
  }
  for (const page of [first.page, second]) {
    await restore(page).click();
    await page.getByRole('heading', { name: /^Undo/ }).waitFor();
  }
  const undos = (await jobs()).filter((one) => one.undoOf === job);
  assert.deepEqual(undos.map((one) => one.updated), [1]);
  await first.end();
});

test('a date that is typed digit by digit is asked for once', async () => {
  const { page, requests, end } = await open(browser, served);
  await page.getByText('182 contacts match').first().waitFor();
  await page.getByLabel('From').focus();
  // After the first digit of the year, the browser reports a day of the year 1.
  for (const key of '08251') await page.keyboard.press(key);
  assert.equal(await page.getByLabel('From').inputValue(), '0001-08-25');
  await page.getByLabel('From').fill('1997-08-25');
  await until(() => requests.some((one) => one.includes('fromDate=1997-08-25')), 'the list of the date');
  assert.deepEqual(requests.filter((one) => /fromDate=0/.test(one)), []);
  await end();
});

test('the largest number of a chart stays within the chart, and its marks are whole numbers', async () => {
  const { page, end } = await open(browser, served, { viewport: { width: 320, height: 800 } });
  for (const [most, half] of [[1_000_000, '500,000'], [5, '3']]) {
    await page.route('**/jobs/daily', (route) => route.fulfill({ json: { response: Array.from({ length: 90 }, (_, at) => ({ date: `2026-01-${String(at % 28 + 1).padStart(2, '0')}`, contacts: at === 9 ? most : 0, jobs: 1 })) } }));
    await page.goto('about:blank');
    await page.goto(`${served.origin}/console#/jobs`);
    const marks = page.getByRole('img', { name: 'Contacts changed per day' }).locator('text[text-anchor="end"]');
    await marks.filter({ hasText: half }).waitFor();
    const cut = await marks.evaluateAll((texts) => texts.filter((one) => one.getBoundingClientRect().left < one.ownerSVGElement.getBoundingClientRect().left).length);
    assert.equal(cut, 0, String(most));
    await page.unroute('**/jobs/daily');
  }
  await end();
});

test('a view whose module cannot be read is named once', async () => {
  const { page, end } = await open(browser, served, { expected: [/rules\.js/] });
  await page.route('**/rules.js', (route) => route.abort());
  await page.getByRole('link', { name: 'Rules' }).click();
  await page.getByRole('alert').getByText('The view could not be read').waitFor();
  assert.equal(await page.getByText('rules.js').count(), 0);
  await end();
});

test('a refused rule shows the sentence of the service', async () => {
  const { page, end } = await open(browser, served, { at: '#/rule?tags=Germany', expected: [/400/] });
  await page.getByRole('textbox', { name: 'Name' }).fill('nightly');
  await page.getByRole('combobox', { name: 'Give access to' }).fill('Nancy');
  await page.getByRole('option', { name: /Nancy/ }).click();
  await page.getByRole('radio', { name: /^Private/ }).check();
  await page.getByRole('textbox', { name: 'Cron expression' }).fill('never');
  await page.getByRole('button', { name: 'Save the rule' }).click();
  await page.getByRole('alert').getByText(/cron/i).first().waitFor();
  await page.getByRole('textbox', { name: 'Cron expression' }).fill('0 2 * * *');
  const next = page.getByRole('region', { name: 'Next runs' }).getByRole('listitem');
  await until(async () => (await next.count()) === 5, 'the next five runs');
  await end();
});

for (const zone of ['America/Los_Angeles', 'Pacific/Auckland']) {
  test(`a date is the date that was typed, in a browser in ${zone}`, async () => {
    const { page, requests, end } = await open(browser, served, { timezoneId: zone });
    await page.getByLabel('From').fill('1997-08-25');
    await page.getByLabel('To', { exact: true }).fill('1997-08-25');
    await page.getByText('2 contacts match').first().waitFor();
    assert.ok(page.url().includes('fromDate=1997-08-25&toDate=1997-08-25'), page.url());
    assert.ok(requests.some((one) => one.includes('fromDate=1997-08-25&toDate=1997-08-25')));
    await until(async () => (await page.getByRole('cell', { name: 'Aug 25, 1997' }).count()) === 2, 'the two contacts of the day');
    await page.getByText('Whole days in America/Los_Angeles').waitFor();
    await end();
  });
}

test('a finished job is asked for once', async () => {
  const [job] = await runs();
  const { page, requests, end } = await open(browser, served, { at: `#/job/${job.id}` });
  await page.getByText(/contacts? (was|were) changed\./).first().waitFor();
  await page.clock.install();
  await page.clock.fastForward(60_000);
  assert.equal(requests.filter((one) => one.endsWith(`jobs/${job.id}`)).length, 1);
  await end();
});

test('a user who is no administrator finds the own view, and no counts of others', async () => {
  const { page, end } = await open(browser, served, { token: served.user, at: '#/who' });
  await page.getByText('Only administrators see these counts.').waitFor();
  await page.getByRole('link', { name: 'Contacts' }).click();
  await page.getByRole('table').waitFor();
  await page.getByRole('link', { name: 'Jobs' }).click();
  await page.getByRole('heading', { name: 'Jobs' }).waitFor();
  await page.getByRole('heading', { name: 'Contacts changed per day' }).waitFor();
  assert.equal(await status(page).count(), 1);
  await end();
});
