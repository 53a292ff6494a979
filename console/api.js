/**
 * The client of the public API: calls, the token, the keys that make a change happen once, and the poller.
 */

const BASE = '/api/2.0/';
const TOKEN = 'crm-access.token';
const KEYS = 'crm-access.key.';
/** The attempts of a call whose answer is lost, if a key makes the call happen once. */
const ATTEMPTS = 3;
/** The pause before the poller asks again: milliseconds, rising by half from the first to the last. */
const POLL = { first: 1000, last: 5000, growth: 1.5 };
/** The pause while the service fails: it doubles up to this bound, so that the tabs do not keep a loaded service busy. */
const BACK_OFF = { last: 60_000, growth: 2 };

/** An answer that is no success, or no answer at all (`status` 0). */
export class ApiError extends Error {
  /** @param {{status: number, type?: string, message?: string, details?: unknown[], requestId?: string}} fault */
  constructor({ status, type = '', message = '', details = [], requestId = '' }) {
    super(message);
    this.status = status;
    this.type = type;
    this.details = details;
    this.requestId = requestId;
  }
}

/**
 * An answer of the API.
 *
 * @typedef {object} Answer
 * @property {number} status
 * @property {any} response The content of the envelope; `null` for 204 and 304.
 * @property {number | null} total
 * @property {boolean} atLeast Whether the total is a lower bound.
 * @property {string | null} next The key of the next page.
 * @property {string | null} etag
 * @property {Headers} headers
 */

/** @type {(() => void) | null} */
let onSignedOut = null;

/** @type {Pick<Storage, 'getItem' | 'setItem' | 'removeItem' | 'clear'>} */
const storage = tabStorage();

/** Returns the storage of the tab. If the browser refuses the storage, the page keeps the values until a reload. */
function tabStorage() {
  try {
    sessionStorage.setItem(KEYS, '');
    sessionStorage.removeItem(KEYS);
    return sessionStorage;
  } catch {
    /** @type {Map<string, string>} */
    const kept = new Map();
    return {
      getItem: (/** @type {string} */ name) => kept.get(name) ?? null,
      setItem: (/** @type {string} */ name, /** @type {string} */ value) => void kept.set(name, value),
      removeItem: (/** @type {string} */ name) => void kept.delete(name),
      clear: () => kept.clear(),
    };
  }
}

/** The session of this tab. */
export const session = {
  get token() {
    return storage.getItem(TOKEN);
  },
  /** @param {string} token */
  begin(token) {
    storage.setItem(TOKEN, token);
  },
  end() {
    storage.clear();
  },
  /** Calls back when the service no longer accepts the token. @param {() => void} callback */
  onEnd(callback) {
    onSignedOut = callback;
  },
};

/**
 * @typedef {object} Options
 * @property {URLSearchParams | Record<string, string | number | boolean>} [query]
 * @property {unknown} [body] Sent as JSON.
 * @property {string} [key] The `Idempotency-Key`. With a key, a call whose answer is lost is made again.
 * @property {string | null} [ifMatch]
 * @property {string | null} [ifNoneMatch]
 * @property {boolean} [queued] Asks for a job instead of waiting for the result.
 * @property {AbortSignal} [signal]
 */

/**
 * Makes a call.
 *
 * @param {string} method
 * @param {string} path The path after `/api/2.0/`.
 * @param {Options} [options]
 * @returns {Promise<Answer>}
 */
export async function call(method, path, options = {}) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await callOnce(method, path, options);
    } catch (error) {
      const again = isInUse(error) || (error instanceof ApiError && error.status === 0);
      if (!again || !options.key || attempt === ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500 * attempt));
    }
  }
}

/**
 * @param {string} path
 * @param {Options} [options]
 */
export const get = (path, options) => call('GET', path, options);

/**
 * @param {string} method
 * @param {string} path
 * @param {Options} options
 * @returns {Promise<Answer>}
 */
async function callOnce(method, path, { query, body, key, ifMatch, ifNoneMatch, queued, signal }) {
  const headers = new Headers({ Accept: 'application/json' });
  const { token } = session;
  if (token) headers.set('Authorization', token);
  if (body !== undefined) headers.set('Content-Type', 'application/json');
  if (key) headers.set('Idempotency-Key', key);
  if (ifMatch) headers.set('If-Match', ifMatch);
  if (ifNoneMatch) headers.set('If-None-Match', ifNoneMatch);
  if (queued) headers.set('Prefer', 'respond-async');
  const parameters = query instanceof URLSearchParams ? query : new URLSearchParams(textOf(query));
  const text = parameters.toString();
  const address = BASE + path + (text && `?${text}`);
  const init = { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal };

  /** @type {Response} */
  let response;
  /** @type {any} */
  let content = null;
  try {
    response = await fetch(address, init);
    const answered = await response.text();
    content = answered === '' ? null : JSON.parse(answered);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError({ status: 0, type: 'no-answer' });
  }
  if (!response.ok && response.status !== 304) {
    // A late answer for an earlier token says nothing about the session that began since.
    if (response.status === 401 && token && token === session.token) {
      session.end();
      onSignedOut?.();
    }
    throw new ApiError({ requestId: response.headers.get('X-Request-Id') ?? '', message: content?.message ?? '', ...content?.error, status: response.status });
  }
  return {
    status: response.status,
    response: content?.response ?? null,
    total: content?.total ?? null,
    atLeast: response.headers.get('X-Total-Is-Lower-Bound') === 'true',
    next: content?.nextBefore ?? response.headers.get('X-Next'),
    // A proxy that compresses answers makes their tags weak, and a weak tag in `If-Match` never matches.
    etag: response.headers.get('ETag')?.replace(/^W\//, '') ?? null,
    headers: response.headers,
  };
}

/** @param {Record<string, string | number | boolean> | undefined} query */
function textOf(query) {
  return Object.entries(query ?? {}).map(([name, value]) => [name, String(value)]);
}

/** Returns a new `Idempotency-Key`. A page without TLS has `getRandomValues`, but not `randomUUID`. */
export const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');

/**
 * Makes a change that the user confirmed, with its `Idempotency-Key`. The tab keeps the key until the service has decided,
 * so that another attempt and a reload after a lost answer carry the same key.
 *
 * @param {string} name Names the confirmation.
 * @param {(key: string) => Promise<Answer>} work
 */
export async function once(name, work) {
  const stored = KEYS + name;
  const key = storage.getItem(stored) ?? newKey();
  storage.setItem(stored, key);
  try {
    const answer = await work(key);
    storage.removeItem(stored);
    return answer;
  } catch (error) {
    if (!mayPass(error) && !isInUse(error)) storage.removeItem(stored);
    throw error;
  }
}

/** Returns whether a failure may pass: a lost answer, too many calls, or a fault of the service. @param {unknown} error */
export const mayPass = (error) => error instanceof ApiError && (error.status === 0 || error.status === 429 || error.status >= 500);

/** Returns whether the service still works on a call with the same key. @param {unknown} error */
const isInUse = (error) => error instanceof ApiError && error.type === 'idempotency-key-in-use';

/**
 * A question that the poller repeats.
 *
 * @typedef {object} Watch
 * @property {string} path
 * @property {URLSearchParams} [query]
 * @property {(answer: Answer) => boolean} onAnswer Takes a changed answer. Returns whether to go on.
 * @property {(error: unknown) => void} onError Takes a failure, and `null` once the service answers again.
 * @property {string | null} [etag]
 * @property {boolean} [failed] Whether the last answer was a failure. The poller sets this.
 */

/** @type {Set<Watch>} */
const watches = new Set();
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
let pause = POLL.first;
let asking = false;

/**
 * Repeats a question until its answer says that nothing more will change, or a failure does not pass. The tab has one
 * poller, which pauses while the tab is hidden.
 *
 * @param {Watch} watch
 * @returns {() => void} Ends the repetition.
 */
export function watch(watch) {
  watches.add(watch);
  pause = POLL.first;
  schedule();
  return () => {
    watches.delete(watch);
    if (watches.size === 0) clearTimeout(timer);
  };
}

function schedule() {
  clearTimeout(timer);
  if (watches.size > 0 && !document.hidden && !asking) timer = setTimeout(poll, pause);
}

async function poll() {
  asking = true;
  let failed = false;
  for (const one of [...watches]) {
    if (!watches.has(one)) continue;
    try {
      const answer = await get(one.path, { query: one.query, ifNoneMatch: one.etag });
      if (!watches.has(one)) continue;
      if (one.failed) one.onError(null);
      one.failed = false;
      if (answer.status === 304) continue;
      one.etag = answer.etag;
      if (!one.onAnswer(answer)) watches.delete(one);
    } catch (error) {
      if (!watches.has(one)) continue;
      failed = true;
      one.failed = true;
      if (!mayPass(error)) watches.delete(one);
      one.onError(error);
    }
  }
  asking = false;
  pause = failed ? Math.min(BACK_OFF.last, pause * BACK_OFF.growth) : Math.min(POLL.last, pause * POLL.growth);
  schedule();
}

globalThis.document?.addEventListener('visibilitychange', () => {
  if (document.hidden) return clearTimeout(timer);
  if (watches.size > 0 && !asking) {
    clearTimeout(timer);
    poll();
  }
});
