/** The client and the poller, with a service that the test plays. */

import assert from 'node:assert/strict';
import { mock, test } from 'node:test';

/** The page that the client expects: a storage for the tab, and a document that can be hidden. */
const stored = new Map();
globalThis.sessionStorage = {
  getItem: (name) => stored.get(name) ?? null,
  setItem: (name, value) => stored.set(name, value),
  removeItem: (name) => stored.delete(name),
  clear: () => stored.clear(),
};
const tab = { hidden: false, listeners: [], addEventListener: (_, listener) => tab.listeners.push(listener) };
globalThis.document = tab;
const { ApiError, call, get, once, session, watch } = await import('../../console/api.js');

const calls = [];
/** Answers the next calls; the last answer repeats. A function is an answer that is made at the call. */
function service(...answers) {
  calls.length = 0;
  globalThis.fetch = async (address, init) => {
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    calls.push({ address, method: init.method, headers: init.headers, body: init.body });
    return answer();
  };
}
const json = (response, { status = 200, headers = {}, ...envelope } = {}) => () =>
  new Response(status === 304 || status === 204 ? null : JSON.stringify({ response, ...envelope }), { status, headers });
const lost = () => Promise.reject(new TypeError('no connection'));
const fault = (status, type) => () => new Response(JSON.stringify({ error: { message: 'Because.', type, requestId: 'r7' } }), { status });

/** Lets promises run while the clock stands still. */
const settle = async () => {
  for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
  await new Promise((resolve) => setImmediate(resolve));
};
async function pass(milliseconds) {
  mock.timers.tick(milliseconds);
  await settle();
}

test('a failure carries the message, the type and the number of the request', async () => {
  service(fault(403, 'edit-forbidden'));
  await assert.rejects(get('x'), (error) => error instanceof ApiError && error.status === 403
    && error.type === 'edit-forbidden' && error.message === 'Because.' && error.requestId === 'r7');
});

test('a change whose answer is lost is repeated with the same key and the same body', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  service(lost, fault(409, 'idempotency-key-in-use'), json({ id: 'j' }, { status: 202 }));
  const answer = call('PUT', 'x', { body: { a: 1 }, key: 'k' });
  for (let turn = 0; turn < 4; turn += 1) {
    await settle();
    await pass(1500);
  }
  assert.equal((await answer).status, 202);
  assert.deepEqual(calls.map((one) => [one.headers.get('Idempotency-Key'), one.body]), Array(3).fill(['k', '{"a":1}']));
  mock.timers.reset();
});

test('a change without a key is never repeated', async () => {
  service(lost);
  await assert.rejects(call('PUT', 'x', { body: {} }), (error) => error.status === 0);
  assert.equal(calls.length, 1);
});

/** Confirms a change, and returns the key that the call carried. */
async function confirm(name, client = once, make = call) {
  await client(name, (key) => make('POST', 'x', { key })).catch(() => {});
  return calls.at(-1).headers.get('Idempotency-Key');
}

test('the key of a confirmation stays until the service has decided', async () => {
  service(fault(503, 'contended'));
  const key = await confirm('undo 1');
  assert.equal(await confirm('undo 1'), key);
  assert.notEqual(await confirm('undo 2'), key);
  service(fault(412, 'revision-changed'));
  assert.equal(await confirm('undo 1'), key);
  const second = await confirm('undo 1');
  assert.notEqual(second, key, 'the refusal was a decision');
  service(json({ id: 'j' }, { status: 202 }));
  const third = await confirm('undo 1');
  assert.notEqual(await confirm('undo 1'), third);
});

test('without the storage of the tab, the page keeps the session and the key of a confirmation', async () => {
  const { sessionStorage } = globalThis;
  Object.defineProperty(globalThis, 'sessionStorage', { configurable: true, get: () => assert.fail('the browser refuses') });
  try {
    const page = await import('../../console/api.js?refused');
    page.session.begin('t');
    assert.equal(page.session.token, 't');
    service(fault(503, 'contended'));
    const key = await confirm('undo 1', page.once, page.call);
    assert.equal(await confirm('undo 1', page.once, page.call), key);
    assert.equal(calls.at(-1).headers.get('Authorization'), 't');
    page.session.end();
    assert.equal(page.session.token, null);
    assert.notEqual(await confirm('undo 1', page.once, page.call), key);
  } finally {
    Object.defineProperty(globalThis, 'sessionStorage', { configurable: true, writable: true, value: sessionStorage });
  }
});

test('a refused token ends the session', async () => {
  let ended = 0;
  session.begin('t');
  session.onEnd(() => (ended += 1));
  service(fault(401, 'unauthenticated'));
  await assert.rejects(get('x'));
  assert.deepEqual([ended, session.token], [1, null]);
});

test('a late refusal of an earlier token leaves the session that began since', async () => {
  let ended = 0;
  session.begin('earlier');
  session.onEnd(() => (ended += 1));
  service(() => {
    session.begin('later');
    return fault(401, 'unauthenticated')();
  });
  await assert.rejects(get('x'));
  assert.deepEqual([ended, session.token], [0, 'later']);
});

test('the poller asks after 1 s, rises to 5 s, sends the tag, and ends with the job', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const seen = [];
  const running = json({ percent: 10 }, { headers: { ETag: '"a"' } });
  const same = json(null, { status: 304 });
  service(running, same, same, same, same, json({ percent: 100 }, { headers: { ETag: '"b"' } }));
  watch({ path: 'crm/access/jobs/1', onAnswer: ({ response }) => seen.push(response.percent) && response.percent < 100, onError: assert.fail });
  const at = [];
  for (let now = 100; now <= 60_000; now += 100) {
    const before = calls.length;
    await pass(100);
    if (calls.length > before) at.push(now);
  }
  assert.deepEqual(at, [1000, 2500, 4800, 8200, 13200, 18200]);
  assert.deepEqual(seen, [10, 100]);
  assert.deepEqual(calls.map((one) => one.headers.get('If-None-Match')), [null, '"a"', '"a"', '"a"', '"a"', '"a"']);
  mock.timers.reset();
});

test('two questions share one poller, and a hidden tab asks nothing', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  service(json({ percent: 10 }));
  const stops = ['1', '2'].map((id) => watch({ path: `jobs/${id}`, onAnswer: () => true, onError: assert.fail }));
  await pass(1000);
  assert.deepEqual(calls.map((one) => one.address), ['/api/2.0/jobs/1', '/api/2.0/jobs/2']);
  tab.hidden = true;
  tab.listeners.forEach((listener) => listener());
  await pass(600_000);
  assert.equal(calls.length, 2);
  tab.hidden = false;
  tab.listeners.forEach((listener) => listener());
  await settle();
  assert.equal(calls.length, 4);
  stops.forEach((stop) => stop());
  await pass(600_000);
  assert.equal(calls.length, 4);
  mock.timers.reset();
});

test('the poller goes on after a failure that may pass, says when it has passed, and ends after a refusal', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const errors = [];
  service(lost, fault(429, 'too-many-calls'), fault(503, 'contended'), json(null, { status: 304 }), json({ percent: 50 }), fault(404, 'job-not-found'));
  watch({ path: 'jobs/1', onAnswer: () => true, onError: (error) => errors.push(error && error.status) });
  const at = [];
  for (let now = 100; now <= 60_000; now += 100) {
    const before = calls.length;
    await pass(100);
    if (calls.length > before) at.push(now);
  }
  assert.deepEqual(errors, [0, 429, 503, null, 404]);
  assert.deepEqual(at, [1000, 3000, 7000, 15_000, 20_000, 25_000], 'the pause doubles while the service fails');
  mock.timers.reset();
});

test('the pause of the poller has a bound, however long the service fails', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  service(fault(503, 'contended'));
  const stop = watch({ path: 'jobs/1', onAnswer: () => true, onError: () => {} });
  for (let turn = 0; turn < 20; turn += 1) await pass(60_000);
  const before = calls.length;
  await pass(60_000);
  assert.equal(calls.length, before + 1);
  stop();
  mock.timers.reset();
});

test('a question that ends while its answer is on the way never reports', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  for (const answer of [json({ percent: 50 }), fault(503, 'contended')]) {
    let stop;
    service(() => (stop(), answer()));
    stop = watch({ path: 'jobs/1', onAnswer: assert.fail, onError: assert.fail });
    await pass(1000);
    assert.equal(calls.length, 1);
  }
  mock.timers.reset();
});

test('a question that ends during a round is not asked', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  service(json({ percent: 10 }));
  const stops = [
    watch({ path: 'jobs/1', onAnswer: () => (stops[1](), true), onError: assert.fail }),
    watch({ path: 'jobs/2', onAnswer: assert.fail, onError: assert.fail }),
  ];
  await pass(1000);
  assert.deepEqual(calls.map((one) => one.address), ['/api/2.0/jobs/1']);
  stops[0]();
  mock.timers.reset();
});
