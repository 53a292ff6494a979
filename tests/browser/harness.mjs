/**
 * A served demo, a browser, and pages that fail their test on any violation of the policy and on any error that the
 * test does not expect.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

export const PROGRAM = process.env.CRM_ACCESS_BIN ?? new URL('../../target/debug/crm-access', import.meta.url).pathname;
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
/** How long a page may take on two busy cores. */
export const PATIENCE = 20_000;
export const NANCY = '4e6f7274-6877-8e64-8000-000000000001';
export const JANET = '4e6f7274-6877-8e64-8000-000000000003';

/**
 * Serves a portal.
 *
 * @param {string[]} [what] The arguments of `serve` beside the port.
 */
export async function serve(what = ['--demo', '--in-memory']) {
  const program = spawn(PROGRAM, ['serve', ...what, '--port', '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  const origin = await new Promise((resolve, reject) => {
    program.on('exit', (code) => reject(new Error(`the server ended with ${code}: ${printed}`)));
    program.stdout.on('data', (data) => {
      printed += data;
      const listening = printed.match(/listening on (http:\/\/\S+)/);
      if (listening) resolve(listening[1]);
    });
  });
  const found = (pattern) => printed.match(pattern)?.[1] ?? '';
  return {
    origin,
    link: found(/(http:\S+#code=\S+)/),
    administrator: found(/Administrator's token[^:]*:\s+(\S+)/),
    user: found(/Ordinary token[^:]*:\s+(\S+)/),
    password: found(/Administrator's password[^:]*:\s+(\S+)/),
    name: found(/Administrator's password \(([^)]+)\)/),
    close: () => new Promise((resolve) => {
      program.removeAllListeners('exit');
      program.on('exit', resolve);
      program.kill('SIGTERM');
    }),
  };
}

/**
 * Serves the portals of an import file.
 *
 * @param {(file: string) => void | Promise<void>} write Writes the file.
 * @param {string} administrator The token with which the tests call the API.
 */
export async function serveFile(write, administrator) {
  const folder = mkdtempSync(join(tmpdir(), 'console-'));
  try {
    const file = join(folder, 'portals.ndjson');
    await write(file);
    // A server that listens has loaded the file.
    return { ...(await serve(['--in-memory', '--import', file])), administrator };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Waits until a condition holds; the page decides when, no clock does. */
export async function until(condition, what, patience = PATIENCE) {
  const end = Date.now() + patience;
  for (;;) {
    const found = await condition();
    if (found) return found;
    assert.ok(Date.now() < end, `waited in vain for ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Calls the API beside the page, as another client would. */
export async function api(served, method, path, body, { token = served.administrator, headers = {} } = {}) {
  const response = await fetch(`${served.origin}/api/2.0/${path}`, {
    method,
    headers: { Authorization: token, ...(body && { 'Content-Type': 'application/json' }), ...headers },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  return { ...(text ? JSON.parse(text) : {}), status: response.status, headers: response.headers };
}

/**
 * A connection between the page and the server, which can lose the answer of a call after the call took effect, hold calls
 * back, and refuse calls as a service does that fails.
 */
export async function lossy(served) {
  let held = (/** @type {http.IncomingMessage} */ _) => false;
  let waiting = Promise.resolve();
  const state = {
    lose: (/** @type {http.IncomingMessage} */ _) => false,
    lost: 0,
    /** Returns the type of the 503 with which a call is refused, or nothing. @type {(call: http.IncomingMessage) => string | undefined | false} */
    refuse: () => undefined,
    /** Holds calls back until the returned function is called. */
    hold(which) {
      let release;
      held = which;
      waiting = new Promise((resolve) => (release = resolve));
      return release;
    },
  };
  const proxy = http.createServer(async (request, response) => {
    if (held(request)) await waiting;
    const type = state.refuse(request);
    if (type) return response.writeHead(503, { 'Content-Type': 'application/json' }).end(JSON.stringify({ error: { message: 'The service is busy.', type } }));
    const { hostname, port } = new URL(served.origin);
    const headers = { ...request.headers, host: `${hostname}:${port}`, ...(request.headers.origin && { origin: served.origin }) };
    const onward = http.request({ hostname, port, method: request.method, path: request.url, headers }, (answer) => {
      if (state.lose(request)) {
        state.lost += 1;
        answer.resume().on('end', () => response.destroy());
        return;
      }
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return Object.assign(state, { origin: `http://127.0.0.1:${proxy.address().port}`, close: () => new Promise((resolve) => proxy.close(resolve) && proxy.closeAllConnections()) });
}

/** Starts the browser, and says in one line which browser and which driver met. */
export async function launch() {
  const { createRequire } = await import('node:module');
  const version = createRequire(import.meta.url)('playwright-core/package.json').version;
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--force-color-profile=srgb'] });
  process.stderr.write(`playwright-core ${version} with Chromium ${browser.version()}\n`);
  return browser;
}

/**
 * Opens the console, signed in by a one-time link, at an address.
 *
 * @param {import('playwright-core').Browser} browser
 * @param {Awaited<ReturnType<typeof serve>>} served
 * @param {{at?: string, token?: string, expected?: RegExp[], origin?: string, language?: string, signedIn?: boolean} & import('playwright-core').BrowserContextOptions} [options]
 *   `expected` names errors that belong to the test, such as the 412 of a conflict.
 */
export async function open(browser, served, options = {}) {
  const { at = '#/contacts', token = served.administrator, expected = [], origin = served.origin, language = '', signedIn = true, ...context } = options;
  const own = await browser.newContext({ locale: 'en-US', reducedMotion: 'reduce', viewport: { width: 1280, height: 900 }, ...context });
  own.setDefaultTimeout(PATIENCE);
  const faults = [];
  const requests = [];
  const watched = async (page) => {
    page.on('pageerror', (error) => faults.push(`page error: ${error.stack ?? error}`));
    page.on('console', (message) => {
      const text = `${message.type()}: ${message.text()} ${message.location().url}`;
      if (['error', 'warning'].includes(message.type()) && !expected.some((one) => one.test(text))) faults.push(text);
    });
    page.on('request', (request) => requests.push(`${request.method()} ${request.url()}`));
  };
  own.on('page', watched);
  await own.addInitScript((language) => {
    addEventListener('securitypolicyviolation', (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
    if (language && location.protocol.startsWith('http')) localStorage.setItem('crm-access.language', language);
  }, language);
  const page = await own.newPage();
  const visit = async (page) => {
    const code = signedIn ? (await api(served, 'POST', 'authentication/code', undefined, { token })).response.code : '';
    await page.goto(`${origin}/console${code && `#code=${encodeURIComponent(code)}`}`);
    if (!signedIn) return;
    await page.getByRole('navigation', { name: language ? undefined : 'Views' }).first().waitFor();
    if (at !== '#/contacts') await page.goto(`${origin}/console${at}`);
    await page.getByRole('heading', { level: 1 }).waitFor();
  };
  await visit(page);
  return {
    page, faults, requests, context: own, visit,
    /** Ends the test: nothing unexpected may have happened. */
    async end() {
      await own.close();
      assert.deepEqual(faults, []);
    },
  };
}
