/**
 * Makes the pictures of the documentation: `node screenshots.mjs FOLDER`. The clock stands still, the fonts come from one
 * package, and a picture is written only if it differs, so that pictures change only with the console.
 */

import { existsSync, readFileSync, writeFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { NANCY, api, launch, open, serve } from './harness.mjs';

const NOW = new Date('2026-11-26T10:00:00-08:00');
const folder = process.argv[2] ?? '../../docs/pictures';
const [served, browser] = await Promise.all([serve(), launch()]);
mkdirSync(folder, { recursive: true });
await api(served, 'PUT', 'crm/contact/1/access', { isShared: false, managerList: [NANCY] });

/** The pictures: a name, an address, and the steps before the picture. */
const PICTURES = [
  ['contacts', '#/contacts?tags=Germany&contactListView=Company', async (page) => {
    await page.getByRole('checkbox', { name: 'Select this page' }).check();
  }],
  ['preview', '#/access?of=all&tags=Germany&contactListView=Company', async (page) => {
    await page.getByRole('radio', { name: 'Replace the list with' }).check();
    await page.getByRole('combobox', { name: 'People' }).fill('Nancy');
    await page.getByRole('option', { name: /Nancy/ }).click();
    await page.getByRole('radio', { name: /^Private/ }).check();
    await page.getByRole('button', { name: 'Preview', exact: true }).click();
    await page.getByRole('button', { name: /^Change \d/ }).waitFor();
  }],
  ['contact', '#/contact/1', async (page) => {
    await page.getByRole('table', { name: 'History of access' }).waitFor();
  }],
];

for (const colorScheme of ['light', 'dark']) {
  for (const [name, at, steps] of PICTURES) {
    const { page, context } = await open(browser, served, { colorScheme, at, deviceScaleFactor: 2, viewport: { width: 1280, height: 800 } });
    await page.clock.setFixedTime(NOW);
    await steps(page);
    await page.evaluate(() => document.activeElement?.blur());
    const picture = await page.screenshot({ animations: 'disabled', caret: 'hide' });
    const file = join(folder, `${name}-${colorScheme}.png`);
    if (!existsSync(file) || !readFileSync(file).equals(picture)) writeFileSync(file, picture);
    await context.close();
  }
}
await browser.close();
await served.close();
