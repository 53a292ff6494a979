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
/** Fills in who gets access, and asks for the preview. */
async function request(page, { verb, people, visibility, note }) {
  if (verb) await page.getByRole('radio', { name: verb }).check();
  for (const name of people ?? []) {
    await page.getByRole('combobox', { name: 'People' }).fill(name);
    await page.getByRole('option', { name }).click();
  }
  if (visibility) await page.getByRole('radio', { name: visibility }).check();
  if (note) await page.getByRole('textbox', { name: 'Note for the record' }).fill(note);
  await page.getByRole('button', { name: 'Preview', exact: true }).click();
  await page.getByRole('button', { name: /^Change \d/ }).waitFor();
}

test('a link signs in once, and leaves neither the address nor the history with its code', async () => {
  const { page, requests, context, end } = await open(browser, served, { signedIn: false, expected: [/401 .*authentication/] });
  const code = (await api(served, 'POST', 'authentication/code')).response.code;
  await page.goto(`${served.origin}/console#code=${code}`);
  // The page was open before, so that the browser may take the link for a move within the page.
  await page.reload();
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
  await request(page, { verb: 'Replace the list with', people: ['Nancy Davolio'], visibility: /^Private/, note: 'audit 7' });
  await page.getByText('11 contacts get this access: private to Nancy Davolio.').waitFor();
  await page.getByRole('region', { name: 'Preview' }).getByText('7 people lose sight of some of them.').waitFor();
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
  await request(page, { people: ['Janet Leverling'], visibility: /^Private/ });
  const number = await page.getByRole('button', { name: /^Change \d+ contacts$/ }).textContent();
  const n = Number(number.match(/\d+/)[0]);
  const change = page.getByRole('button', { name: `Change ${n} contacts` });
  assert.equal(await change.isDisabled(), true);
  const field = page.getByRole('textbox', { name: `type the number of contacts that change: ${n}` });
  await field.fill(String(n - 1));
  assert.equal(await change.isDisabled(), true);
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
  await request(page, { people: ['Janet Leverling'], visibility: /^Private/ });
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
  await request(page, { people: ['Janet Leverling'], visibility: /^Private/ });
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
  await request(page, { people: ['Janet Leverling'], visibility: /^Private/ });
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
  await request(page, { verb: 'Replace the list with', people: ['Nancy Davolio'], visibility: /^Private/ });
  await page.getByText('2 contacts get this access: private to Nancy Davolio.').waitFor();
  await page.getByRole('table', { name: 'Who loses' }).getByRole('row', { name: /Janet Leverling/ }).waitFor();
  await page.getByRole('button', { name: 'Change 2 contacts' }).click();
  await page.getByText('2 contacts were changed.').first().waitFor();
  const [job] = await runs();
  assert.equal(job.kind, 'contacts');
  assert.equal(job.updated, 2);
  await end();
});

test('ticked contacts that are shared: a change of their lists alone is counted', async () => {
  const { page, end } = await open(browser, served, { at: '#/contacts?tags=Spain&contactListView=Company' });
  await page.getByRole('checkbox', { name: /^Select Bólido/ }).check();
  await page.getByRole('checkbox', { name: /^Select Godos/ }).check();
  await page.getByRole('button', { name: 'Set access of 2 contacts' }).click();
  await request(page, { people: ['Nancy Davolio'] });
  await page.getByText('2 contacts get this access: Nancy Davolio in the list.').waitFor();
  await page.getByText('2 shared contacts change in their lists alone').waitFor();
  assert.equal(await page.getByRole('table', { name: 'Before and after' }).count(), 0);
  await end();
});

test('a part of the address that is not known shows an error and lists nothing', async () => {
  const { page, requests, end } = await open(browser, served, { at: '#/rules' });
  const earlier = requests.length;
  await page.goto(`${served.origin}/console#/contacts?tagz=Germany`);
  await page.getByRole('alert').getByText('tagz').waitFor();
  assert.ok(!requests.slice(earlier).some((one) => one.includes('contact/filter')));
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
  await saving.getByRole('textbox', { name: 'Note for the record' }).fill('after a talk');
  await saving.getByRole('button', { name: 'Save' }).click();
  await until(async () => (await api(served, 'GET', 'crm/contact/3')).response.accessList.some((one) => one.id === NANCY), 'the change');
  const history = page.getByRole('table', { name: 'History of access' });
  await history.getByRole('row', { name: /One contact.*Andrew Fuller.*after a talk.*Janet Leverling.*Nancy Davolio/ }).waitFor();
  await history.getByRole('row', { name: /Loaded with this access/ }).waitFor();
  const why = page.getByRole('region', { name: 'Who may see and edit' });
  await why.getByRole('combobox', { name: 'Ask about a person' }).fill('Janet');
  await page.getByRole('option', { name: /Janet/ }).click();
  await why.getByRole('status').getByText('The contact is private, and the list does not name this person').first().waitFor();
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
  await page.getByRole('combobox', { name: 'People' }).fill('Nancy');
  await page.getByRole('option', { name: /Nancy/ }).click();
  await page.getByRole('textbox', { name: 'Change at most' }).fill('500');
  await page.getByRole('textbox', { name: 'Note for the record' }).fill('by contract');
  await page.getByRole('button', { name: 'Preview a run' }).click();
  await page.getByRole('region', { name: 'Preview' }).getByText(/^\d+ contacts? would change\.$/).first().waitFor();
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

test('a refused rule shows the sentence of the service', async () => {
  const { page, end } = await open(browser, served, { at: '#/rule?tags=Germany', expected: [/400/] });
  await page.getByRole('textbox', { name: 'Name' }).fill('nightly');
  await page.getByRole('combobox', { name: 'People' }).fill('Nancy');
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
    assert.equal(await page.getByRole('cell', { name: 'Aug 25, 1997' }).count(), 2);
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
