/**
 * Makes the pictures of docs/tour.md: `node screenshots.mjs [FOLDER]`. The clocks of the page and of the service's answers
 * stand still, and a picture is written only if it differs, so that pictures change only with the console.
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { NANCY, launch, open, serve } from './harness.mjs';

const NOW = new Date('2026-11-26T10:00:00-08:00');
const HOUR = 3_600_000;
const GERMAN_COMPANIES = '#/contacts?tags=Germany&contactListView=Company';
const folder = process.argv[2] ?? new URL('../../docs/tour', import.meta.url).pathname;
const began = Date.now();
const [served, browser] = await Promise.all([serve(), launch()]);
mkdirSync(folder, { recursive: true });

const { page, end } = await open(browser, served, { viewport: { width: 1200, height: 760 }, colorScheme: 'light', expected: [/snapshots\/latest/] });
await page.clock.setFixedTime(NOW);
await page.context().route('**/api/2.0/**', async (route) => {
  const response = await route.fetch();
  const body = (await response.text()).replace(/20\d\d-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)/g, (time) => still(time));
  await route.fulfill({ response, body });
});

/** Moves a time of this run to the clock of the pictures; times of the data stay. */
function still(time) {
  const hours = Math.round((Date.parse(time.replace(/(\.\d{3})\d+/, '$1')) - began) / HOUR);
  return Math.abs(hours) > 48 ? time : new Date(NOW.getTime() + hours * HOUR).toISOString();
}

/** Takes a picture of the window, from the top of the page or from an element on. */
async function take(name, { from } = {}) {
  await page.evaluate(() => {
    document.activeElement?.blur();
    scrollTo(0, 0);
  });
  await from?.evaluate((element) => element.scrollIntoView({ block: 'start' }));
  await page.mouse.move(0, 0);
  const picture = await page.screenshot({ animations: 'disabled', caret: 'hide' });
  const file = join(folder, `${name}.png`);
  if (!existsSync(file) || !readFileSync(file).equals(picture)) writeFileSync(file, picture);
}

await page.reload();
await page.getByText('182 contacts match').first().waitFor();
await take('start');

await page.goto(`${served.origin}/console${GERMAN_COMPANIES}`);
await page.getByText('11 contacts match').first().waitFor();
await page.getByRole('checkbox', { name: 'Select this page' }).check();
await take('filter');

await page.getByRole('button', { name: 'Set access of 11 contacts' }).click();
await page.getByRole('radio', { name: 'Replace each list' }).check();
await page.getByRole('combobox', { name: 'People of the list' }).fill('Nancy');
await page.getByRole('option', { name: /Nancy/ }).click();
await page.getByRole('radio', { name: /^Private/ }).check();
await page.getByRole('textbox', { name: 'Note for the record' }).fill('Germany moves to Nancy');
await page.getByRole('button', { name: 'Preview', exact: true }).click();
await page.getByRole('button', { name: 'Change 11 contacts' }).waitFor();
await page.getByRole('table', { name: 'Before and after' }).waitFor();
await take('preview');

const number = page.getByRole('textbox', { name: /To confirm/ });
if (await number.isVisible()) await number.fill('11');
await page.getByRole('button', { name: 'Change 11 contacts' }).click();
await page.getByText('11 contacts were changed.').first().waitFor();
await page.getByRole('table', { name: 'Changes' }).waitFor();
await page.getByRole('button', { name: 'Undo', exact: true }).click();
await page.getByRole('button', { name: 'Restore 11 contacts' }).waitFor();
await take('undo');

await page.keyboard.press('Escape');
await page.getByRole('link', { name: 'Show the job' }).click();
await page.getByRole('table', { name: 'Changes' }).waitFor();
await take('job');

await page.goto(`${served.origin}/console#/contact/1?userId=${NANCY}`);
await page.getByRole('table', { name: 'Who may see and edit' }).waitFor();
await page.getByText('Is in the list of managers').nth(1).waitFor();
await take('contact');

await page.goto(`${served.origin}/console#/who?userId=${NANCY}`);
await page.getByRole('button', { name: /^Count/ }).click();
await page.getByRole('img').first().waitFor();
await take('who');

await end();
await browser.close();
await served.close();
