/** Checks the accessibility of every view: axe, the keyboard, narrow windows, colours, and longer languages. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createRequire } from 'node:module';
import { JANET, NANCY, api, launch, open, serve, until } from './harness.mjs';

const { AxeBuilder } = createRequire(import.meta.url)('@axe-core/playwright');
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
/** The smallest target of a pointer: pixels. */
const TARGET = 24;
const NO_SNAPSHOT = [/404 .*snapshots\/latest/];

let served;
let browser;
let views;
before(async () => {
  [served, browser] = await Promise.all([serve(), launch()]);
  const made = await api(served, 'PUT', 'crm/contact/1/access', { isShared: false, managerList: [NANCY] });
  await api(served, 'PUT', 'crm/access/rules/nightly', {
    filter: { tags: ['Germany'] }, target: { isPrivate: true, managerList: [NANCY] }, cron: '0 2 * * *', timeZone: 'Europe/Berlin',
  });
  await api(served, 'PUT', 'crm/access/rules/hand-over', {
    filter: { responsibleid: NANCY }, target: { addManagers: [JANET], removeManagers: [NANCY] }, cron: '30 4 * * 1', timeZone: 'America/Los_Angeles',
    maxAffected: 1000, note: 'The contacts of Nancy go to Janet.',
  });
  const preview = await api(served, 'PUT', 'crm/contact/filter/access?dryRun=true', { tags: ['Germany'], isPrivate: true, managerList: [NANCY] }, { headers: { Prefer: 'respond-async' } });
  await until(async () => (await api(served, 'GET', `crm/access/jobs/${preview.response.id}`)).response.state === 'done', 'the preview');
  const job = made.headers.get('X-Job-Id');
  // The name of a view, its address, and something that stands there once the view is complete.
  views = [
    ['contacts', '#/contacts?tags=Germany', (page) => page.getByRole('table', { name: 'Contacts that match the filter' })],
    ['an empty list', '#/contacts?tags=Atlantis', (page) => page.getByText('No contact matches this filter.')],
    ['a contact', '#/contact/1', (page) => page.getByRole('table', { name: 'History of access' })],
    ['no contact', '#/contact/999999', (page) => page.getByRole('alert')],
    ['setting access', '#/access?of=all&tags=Germany', (page) => page.getByRole('heading', { name: 'At present' })],
    ['a preview', `#/access?of=all&tags=Germany&preview=${preview.response.id}`, (page) => page.getByRole('table', { name: 'Before and after' })],
    ['jobs', '#/jobs', (page) => page.getByRole('table', { name: 'Jobs, newest first' })],
    ['a job', `#/job/${job}`, (page) => page.getByRole('table', { name: 'Changes' })],
    ['rules', '#/rules', (page) => page.getByRole('table', { name: 'Standing rules' })],
    ['a rule', '#/rule/nightly', (page) => page.getByRole('region', { name: 'Next runs' }).getByRole('listitem').first()],
    ['who can see what', `#/who?userId=${NANCY}&words=al`, (page) => page.getByRole('table', { name: 'Contacts that were found' })],
    ['an address that is not known', '#/contacts?tagz=1', (page) => page.getByRole('alert')],
  ];
});
after(async () => {
  await browser?.close();
  await served?.close();
});

/** Opens the console and shows each view in turn. */
async function eachView(options, check) {
  const opened = await open(browser, served, { expected: [...NO_SNAPSHOT, /404 .*contact\/999999/], ...options });
  for (const [name, address, complete] of views) {
    await opened.page.goto(`${served.origin}/console${address}`);
    if (!options.language) await complete(opened.page).first().waitFor();
    else await until(() => opened.page.evaluate(() => document.querySelector('h1') && !document.querySelector('[aria-busy="true"]')), name);
    await check(opened.page, name);
  }
  await opened.end();
}

for (const colorScheme of ['light', 'dark']) {
  test(`axe finds nothing in any view, ${colorScheme}`, async () => {
    const found = [];
    await eachView({ colorScheme }, async (page, name) => {
      const { violations } = await new AxeBuilder({ page }).withTags(TAGS).analyze();
      found.push(...violations.map((one) => `${name}: ${one.id}: ${one.nodes.map((node) => `${node.target} ${node.failureSummary}`).join(' | ')}`));
    });
    assert.deepEqual(found, []);
  });
}

test('axe finds nothing in the sign-in form and in a dialog', async () => {
  const form = await open(browser, served, { signedIn: false });
  await form.page.getByRole('heading', { name: 'Sign in' }).waitFor();
  assert.deepEqual((await new AxeBuilder({ page: form.page }).withTags(TAGS).analyze()).violations, []);
  await form.end();
  const { page, end } = await open(browser, served, { at: '#/jobs' });
  await page.getByRole('button', { name: 'Undo' }).first().click();
  await page.getByRole('dialog').getByRole('button', { name: /^Restore/ }).waitFor();
  assert.deepEqual((await new AxeBuilder({ page }).withTags(TAGS).analyze()).violations, []);
  await end();
});

// A window of 320 pixels is also a window of 1280 pixels at 400 % zoom.
test('no view scrolls sideways in a window of 320 pixels', async () => {
  await eachView({ viewport: { width: 320, height: 640 } }, async (page, name) => {
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 320, name);
  });
});

for (const width of [320, 640, 768]) {
  test(`no table scrolls sideways in a window of ${width} pixels`, async () => {
    await eachView({ viewport: { width, height: 800 } }, async (page, name) => {
      const wide = await page.evaluate(() => [...document.querySelectorAll('.table-box')].filter((box) => box.scrollWidth > box.clientWidth).map((box) => box.getAttribute('aria-label')));
      assert.deepEqual(wide, [], name);
    });
  });
}

test('every target is at least 24 pixels wide and high, or is a link in a sentence', async () => {
  await eachView({}, async (page, name) => {
    const small = await page.evaluate((least) =>
      [...document.querySelectorAll('button, select, input, summary, .tick-target, nav a, a.button')]
        .map((one) => (one.closest('label') ?? one))
        .filter((one) => one.checkVisibility())
        .map((one) => ({ text: one.outerHTML.slice(0, 120), box: one.getBoundingClientRect() }))
        .filter(({ box }) => box.width < least || box.height < least)
        .map(({ text, box }) => `${Math.round(box.width)} x ${Math.round(box.height)}: ${text}`), TARGET);
    assert.deepEqual(small, [], name);
  });
});

test('the keyboard reaches everything in its order, and the focus is seen and not covered', async () => {
  const { page, end } = await open(browser, served, { at: '#/contacts?tags=Argentina' });
  await page.getByRole('table').waitFor();
  await page.evaluate(() => document.body.focus());
  const seen = [];
  for (let step = 0; step < 90; step += 1) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate(() => {
      const one = document.activeElement;
      if (!one || one === document.body) return null;
      const box = one.getBoundingClientRect();
      const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
      const style = getComputedStyle(one);
      return {
        name: (one.getAttribute('aria-label') ?? one.labels?.[0]?.textContent ?? one.textContent ?? '').trim().slice(0, 40),
        seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
        free: top !== null && (one.contains(top) || top.contains(one) || one.closest('label')?.contains(top)),
      };
    });
    if (at === null) break;
    assert.ok(at.seen, `the focus is not seen on "${at.name}"`);
    assert.ok(at.free, `something covers "${at.name}"`);
    seen.push(at.name);
  }
  assert.equal(seen[0], 'Skip to the content');
  const order = ['Contacts', 'Sign out', 'Words in the name', 'Remove Tag Argentina', 'Select this page', 'Sort by Name'];
  const positions = order.map((name) => seen.indexOf(name));
  assert.ok(positions.every((at, index) => at > (positions[index - 1] ?? -1)), `${order} in ${seen.join(', ')}`);
  await end();
});

test('a dialog keeps the focus inside, and gives the focus back', async () => {
  const { page, end } = await open(browser, served, { at: '#/jobs' });
  const undo = page.getByRole('button', { name: 'Undo' }).first();
  await undo.focus();
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog', { name: 'Undo this job' });
  await dialog.getByRole('button', { name: /^Restore/ }).waitFor();
  for (let step = 0; step < 6; step += 1) {
    await page.keyboard.press('Tab');
    assert.ok(await page.evaluate(() => document.activeElement === document.body || document.activeElement?.closest('dialog')));
  }
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'hidden' });
  assert.ok(await undo.evaluate((one) => one === document.activeElement));
  await end();
});

test('another view moves the focus to its heading and sets the title', async () => {
  const { page, end } = await open(browser, served);
  for (const name of ['Jobs', 'Rules', 'Contacts']) {
    await page.getByRole('link', { name, exact: true }).click();
    const heading = page.getByRole('heading', { level: 1, name });
    await heading.waitFor();
    assert.ok(await heading.evaluate((one) => one === document.activeElement), name);
    assert.equal(await page.title(), `${name} – crm-access`);
  }
  await end();
});

test('a list of people works by keyboard alone', async () => {
  const { page, end } = await open(browser, served, { at: '#/access?of=all&tags=Germany' });
  const people = page.getByRole('combobox', { name: 'Give access to' });
  await people.focus();
  await page.keyboard.type('an');
  // Enter chooses nobody before the list is that of the typed text.
  const found = (await api(served, 'GET', 'people/filter?filterValue=an')).response.length;
  await until(async () => (await page.getByRole('option').count()) === found, 'the people of the typed text');
  assert.equal(await people.getAttribute('aria-expanded'), 'true');
  await page.keyboard.press('ArrowDown');
  const active = await people.getAttribute('aria-activedescendant');
  const name = await page.getByRole('option', { selected: true }).locator('bdi').textContent();
  assert.ok(active);
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: `Remove ${name}` }).waitFor();
  assert.equal(await people.getAttribute('aria-expanded'), 'false');
  await end();
});

test('a progress speaks at its end, in a region that was there before', async () => {
  const { page, end } = await open(browser, served, { at: '#/access?of=all&tags=Canada&contactListView=Company' });
  const region = page.getByRole('status').first();
  assert.equal(await region.count(), 1);
  await page.getByRole('combobox', { name: 'Give access to' }).fill('Janet');
  await page.getByRole('option', { name: /Janet/ }).click();
  await page.getByRole('radio', { name: /^Private/ }).check();
  await page.getByRole('button', { name: 'Preview', exact: true }).click();
  await page.getByRole('button', { name: /^Change \d/ }).waitFor();
  assert.match(await region.textContent(), /contacts would change/);
  await end();
});

test('the focus returns from the dialogs of a contact to the button that opened them', async () => {
  await api(served, 'PUT', 'crm/contact/24/access', { isShared: true, managerList: [NANCY] });
  const { page, end } = await open(browser, served, { at: '#/contact/24' });
  const section = page.getByRole('region', { name: 'Change access' });
  await section.getByRole('radio', { name: /^Private/ }).check();
  const save = section.getByRole('button', { name: 'Preview and save' });
  for (const opens of ['click', 'Enter']) {
    await (opens === 'click' ? save.click() : save.press('Enter'));
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    assert.equal(await save.evaluate((one) => one === document.activeElement), true, opens);
  }
  await end();
});

test('the focus stays in the page although the control with the focus disappears', async () => {
  const { page, end } = await open(browser, served, { at: '#/contacts?tags=Germany&contactListView=Company' });
  /** Acts on a control, waits until the page shows the result, and returns where the focus is then. */
  const focusAfter = async (control, result) => {
    await control.press('Enter');
    await result.waitFor();
    return page.evaluate(() => document.activeElement.closest('main') !== null && document.activeElement.checkVisibility());
  };
  const tick = page.getByRole('checkbox', { name: 'Select this page' });
  await page.getByText('11 contacts match').first().waitFor();
  assert.ok(await focusAfter(page.getByRole('button', { name: 'Remove Tag Germany' }), page.getByText('91 contacts match').first()), 'a part of the filter');
  await tick.check();
  assert.ok(await focusAfter(page.getByRole('button', { name: 'Select all 91 that match' }), page.getByText('All 91 contacts that match').first()), 'all');
  assert.ok(await focusAfter(page.getByRole('button', { name: 'Clear the selection' }), page.getByText('91 contacts match').first()), 'no selection');
  assert.ok(await focusAfter(page.getByRole('button', { name: 'Clear the filter' }), page.getByText('182 contacts match').first()), 'no filter');
  for (const to of [26, 51, 76, 101, 126, 151, 176]) {
    assert.ok(await focusAfter(page.getByRole('button', { name: 'Next page' }), page.getByText(`${to}–`).first()), `the page from ${to}`);
  }
  assert.equal(await page.getByRole('button', { name: 'Next page' }).isDisabled(), true);
  await end();
});

test('the focus moves to the heading when a user signs out or in', async () => {
  const { page, end } = await open(browser, served);
  await page.getByRole('button', { name: 'Sign out' }).press('Enter');
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  const focused = (name) => until(() => page.evaluate((name) => document.activeElement.textContent === name, name), `the focus on ${name}`);
  await focused('Sign in');
  await page.getByRole('textbox', { name: 'E-mail address' }).fill(served.name);
  await page.getByLabel('Password').fill(served.password);
  await page.getByRole('button', { name: 'Sign in' }).press('Enter');
  await page.getByRole('heading', { name: 'Contacts' }).waitFor();
  await focused('Contacts');
  await end();
});

test('the end of a selection is announced', async () => {
  const { page, end } = await open(browser, served, { at: '#/contacts?tags=Germany' });
  await page.getByRole('checkbox', { name: 'Select this page' }).check();
  const region = page.getByRole('status').first();
  await until(async () => /selected/.test(await region.textContent()), 'the selection');
  await page.getByRole('button', { name: 'Clear the selection' }).click();
  await until(async () => (await region.textContent()) === 'No contact selected', 'the end of the selection');
  await end();
});

for (const language of ['pseudo', 'pseudo-rtl']) {
  test(`in the language ${language}, two fifths longer, nothing is cut off and nothing is left out`, async () => {
    for (const width of [320, 1280]) {
      await eachView({ language, viewport: { width, height: 900 } }, async (page, name) => {
        const faults = await page.evaluate(() => {
          const shown = [...document.querySelectorAll('h1, h2, h3, button, label, legend, th, caption, .hint, summary, nav a')].filter((one) => one.checkVisibility());
          // Screen readers alone find text that is clipped as a whole.
          const unseen = (one) => one !== null && (getComputedStyle(one).clipPath === 'inset(50%)' || unseen(one.parentElement));
          const cut = shown.filter((one) => !unseen(one) && one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== 'inline');
          const own = shown.filter((one) => {
            const text = [...one.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join('');
            return /[a-z]{3}/i.test(text) && !text.startsWith('[') && !one.querySelector('bdi');
          });
          return [...cut.map((one) => `cut: ${one.outerHTML.slice(0, 140)}`), ...own.map((one) => `untranslated: ${one.outerHTML.slice(0, 140)}`)];
        });
        assert.deepEqual(faults, [], `${name} at ${width}`);
        assert.ok(await page.evaluate((width) => document.documentElement.scrollWidth <= width, width), `${name} scrolls sideways at ${width}`);
      });
    }
  });
}

test('in forced colours the present view, the selection and the boxes stay visible', async () => {
  const { page, end } = await open(browser, served, { forcedColors: 'active', at: '#/contacts?tags=Argentina' });
  await page.getByRole('checkbox', { name: 'Select this page' }).check();
  const outlined = (one) => getComputedStyle(one).outlineStyle;
  assert.equal(await page.getByRole('link', { name: 'Contacts', exact: true }).evaluate(outlined), 'solid');
  assert.equal(await page.getByRole('group', { name: 'Selection' }).evaluate(outlined), 'solid');
  await end();
});

test('in forced colours every part of a bar has an edge', async () => {
  await api(served, 'POST', 'crm/access/snapshots');
  await until(async () => (await api(served, 'GET', 'crm/access/jobs?kind=snapshot&count=1')).response[0]?.state === 'done', 'the counts');
  for (const colorScheme of ['light', 'dark']) {
    const { page, end } = await open(browser, served, { forcedColors: 'active', colorScheme, at: '#/who' });
    await page.getByRole('region', { name: 'By stage' }).locator('.bars rect').first().waitFor();
    const styles = await page.locator('.legend rect, .bars rect').evaluateAll((bars) => bars.map((one) => {
      const surface = getComputedStyle(one.closest('.panel')).backgroundColor;
      const { fill, stroke } = getComputedStyle(one);
      return { bar: one.getAttribute('class'), fill, stroke, surface };
    }));
    assert.deepEqual(styles.filter(({ stroke, surface }) => stroke === surface), []);
    await end();
  }
});

test('with reduced motion nothing moves', async () => {
  const { page, end } = await open(browser, served);
  await page.getByRole('table').waitFor();
  assert.deepEqual(await page.evaluate(() => document.getAnimations().map((one) => one.effect?.getTiming().duration).filter((one) => Number(one) > 1)), []);
  await end();
});
