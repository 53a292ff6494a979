/** The frame of the console: signing in and out, the views, and the address that chooses between them. */

import { useEffect, useErrorBoundary, useState } from './hooks.js';
import { render } from './preact.js';
import { ApiError, call, get, mayPass, session } from './api.js';
import { Contacts } from './contacts.js';
import { FIELDS, LIST_PARAMETERS, spoiltField } from './selection.js';
import { rich, setZone, shownZone, t } from './text.js';
import { Announcements, Failure, Loading, Mark, Name, Page, address, announce, forgetPeople, html, keepFocus, meet, usePlace } from './ui.js';

/** @typedef {{portal: string, you: import('./ui.js').Person}} Frame */
/** @typedef {{subject: string, query: URLSearchParams, frame: Frame}} ViewProperties */

const FILTER = Object.keys(FIELDS);

/**
 * The views: their module, and the parameters that their address may have. An unknown parameter is an error: a lost part
 * of a filter would select other contacts.
 *
 * @type {Record<string, {load: () => Promise<(properties: ViewProperties) => any>, parameters: string[]}>}
 */
const VIEWS = {
  contacts: { load: async () => Contacts, parameters: [...FILTER, ...LIST_PARAMETERS] },
  contact: { load: async () => (await import('./contact.js')).Contact, parameters: ['userId'] },
  access: {
    load: async () => (await import('./access.js')).SetAccess,
    parameters: [...FILTER, 'of', 'ids', 'mode', 'give', 'take', 'list', 'visibility', 'note', 'preview', 'run'],
  },
  jobs: {
    load: async () => (await import('./jobs.js')).Jobs,
    parameters: ['state', 'kind', 'userId', 'rule', 'contactid', 'from', 'to', 'before'],
  },
  job: { load: async () => (await import('./jobs.js')).Job, parameters: [] },
  rules: { load: async () => (await import('./rules.js')).Rules, parameters: [] },
  rule: { load: async () => (await import('./rules.js')).Rule, parameters: [...FILTER, 'of'] },
  who: { load: async () => (await import('./who.js')).Who, parameters: ['userId', 'words'] },
};

/** The entries of the navigation, each with the views that belong to it. */
const ENTRIES = /** @type {const} */ ([
  ['contacts', ['contacts', 'contact', 'access']],
  ['jobs', ['jobs', 'job']],
  ['rules', ['rules', 'rule']],
  ['who', ['who']],
]);

/**
 * The form for a name and a password.
 *
 * @param {{reason: string, onToken: (token: string) => void}} properties
 */
function SignIn({ reason, onToken }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const [asksPortal, setAsksPortal] = useState(false);
  const submit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    if (busy) return;
    const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
    setBusy(true);
    setError(null);
    try {
      const { response } = await call('POST', 'authentication', {
        body: { userName: form.get('userName'), password: form.get('password'), ...(asksPortal && { portal: form.get('portal') }) },
      });
      onToken(response.token);
    } catch (failure) {
      setError(failure);
      // The form has the field only for this case: most users have one portal. The message lists the portals.
      if (failure instanceof ApiError && failure.details.some((/** @type {any} */ one) => one.field === 'portal')) setAsksPortal(true);
      setBusy(false);
    }
  };
  useEffect(() => {
    document.title = t('title', { page: t('signin.title'), product: t('product') });
  }, []);
  return html`<main class="signin" id="content">
    <p class="brand"><${Mark} />${t('product')}</p>
    <h1 tabindex="-1">${t('signin.title')}</h1>
    ${reason && html`<p class="notice" role="status">${reason}</p>`}
    ${error && html`<${Failure} error=${error} title=${t('signin.failed')} />`}
    <form onSubmit=${submit}>
      <div class="field"><label for="userName">${t('signin.name')}</label>
        <input id="userName" name="userName" type="email" autocomplete="username" required onInput=${() => setAsksPortal(false)} /></div>
      <div class="field"><label for="password">${t('signin.password')}</label>
        <input id="password" name="password" type="password" autocomplete="current-password" required /></div>
      ${asksPortal && html`<div class="field"><label for="portal">${t('signin.portal')}</label>
        <input id="portal" name="portal" autocomplete="organization" autocapitalize="none" spellcheck=${false} required /></div>`}
      <button type="submit" class="primary" aria-disabled=${String(busy)}>${busy ? t('signin.busy') : t('signin.submit')}</button>
    </form>
  </main>`;
}

/**
 * The view that the address names, or the sentence about an address that names none.
 *
 * @param {{frame: Frame}} properties
 */
function View({ frame }) {
  const { view, subject, query } = usePlace();
  const [views, setViews] = useState(/** @type {Record<string, any>} */ ({ contacts: Contacts }));
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const [broken, mend] = useErrorBoundary();
  const entry = Object.hasOwn(VIEWS, view) ? VIEWS[view] : null;
  const hasFilter = entry?.parameters.includes('tags');
  const unknown = entry && ([...query.keys()].find((name) => !entry.parameters.includes(name)) ?? (hasFilter ? spoiltField(query) : undefined));

  useEffect(() => {
    setError(null);
    if (!entry || views[view]) return;
    let left = false;
    entry.load().then((found) => setViews((before) => ({ ...before, [view]: found })), () => !left && setError(new Error(t('error.no-answer'))));
    return () => {
      left = true;
    };
  }, [view]);
  useEffect(() => {
    if (broken) mend();
  }, [view, subject, query.toString()]);

  if (!entry || unknown !== undefined) {
    return html`<${Page} title=${t('error.address.title')}>
      <div class="failure" role="alert"><p>${entry ? rich('error.address', { name: html`<${Name}>${unknown}<//>` }) : t('error.view')}</p>
        <p><a href=${address('contacts')}>${t('error.home')}</a></p></div><//>`;
  }
  if (error ?? broken) return html`<${Page} title=${t('error.title')}><${Failure} error=${error ?? broken} title=${t('error.view.unread')} retry=${() => location.reload()} /><//>`;
  const Shown = views[view];
  return Shown ? html`<${Shown} key=${`${view}/${subject}`} subject=${subject} query=${query} frame=${frame} />` : html`<${Loading} />`;
}

/** @typedef {{error: unknown, retry: () => void}} Fault */

/** @param {{frame: Frame, fault: Fault | null, onSignOut: () => void}} properties `fault` is a failure to sign out. */
function Frame({ frame, fault, onSignOut }) {
  const { view } = usePlace();
  return html`
    <a class="skip" href="#content" onClick=${(/** @type {Event} */ event) => {
      event.preventDefault();
      document.querySelector('h1')?.focus();
    }}>${t('skip')}</a>
    <header class="bar">
      <p class="brand"><${Mark} /><span class="brand-name">${t('product')}</span></p>
      <nav aria-label=${t('nav')}><ul>${ENTRIES.map(
        ([name, views]) => html`<li><a href=${address(name)}
          aria-current=${name === view ? 'page' : /** @type {readonly string[]} */ (views).includes(view) ? 'true' : undefined}>${t(`${name}.title`)}</a></li>`,
      )}</ul></nav>
      <div class="you">
        <p><span class="quiet">${frame.portal}</span><${Name}>${frame.you.displayName}<//></p>
        <button type="button" onClick=${onSignOut}>${t('signout')}</button>
      </div>
    </header>
    <main id="content">${fault && html`<${Failure} ...${fault} />`}<${View} frame=${frame} /></main>
    <footer><p>${t('zone', { zone: shownZone() })}</p></footer>`;
}

/** Signed in or not: reads what every view needs, once. @param {{reason: string}} properties */
function App({ reason: first }) {
  const [token, setToken] = useState(session.token);
  const [reason, setReason] = useState(first);
  const [frame, setFrame] = useState(/** @type {Frame | null} */ (null));
  const [fault, setFault] = useState(/** @type {Fault | null} */ (null));

  useEffect(() => {
    session.onEnd(() => {
      setToken(null);
      setFrame(null);
      setFault(null);
      setReason(t('signin.ended'));
    });
  }, []);
  const load = async () => {
    setFault(null);
    try {
      const [settings, you] = await Promise.all([get('settings'), get('people/@self')]);
      setZone(settings.response.timezone);
      meet([you.response]);
      setFrame({ portal: settings.response.portal ?? '', you: you.response });
    } catch (failure) {
      if (!(failure instanceof ApiError && failure.status === 401)) setFault({ error: failure, retry: load });
    }
  };
  useEffect(() => {
    forgetPeople();
    if (token) load();
  }, [token]);

  const signOut = async () => {
    setFault(null);
    try {
      await call('DELETE', 'authentication');
    } catch (failure) {
      if (!(failure instanceof ApiError && failure.status === 401)) return setFault({ error: failure, retry: signOut });
    }
    session.end();
    setToken(null);
    setFrame(null);
    setReason(t('signin.out'));
  };

  return html`<${Announcements} />
    ${!token
      ? html`<${SignIn} reason=${reason} onToken=${(/** @type {string} */ fresh) => {
          session.begin(fresh);
          setReason('');
          setToken(fresh);
          announce('');
        }} />`
      : frame ? html`<${Frame} frame=${frame} fault=${fault} onSignOut=${signOut} />`
      : html`<main id="content">${fault ? html`<${Failure} ...${fault} />` : html`<${Loading} />`}</main>`}`;
}

/** Returns the code that the address of a sign-in link holds. */
const codeHere = () => new URLSearchParams(location.hash.slice(1)).get('code');

/** Exchanges the code of a sign-in link. The code leaves the address and the history before anything else happens. */
async function begin() {
  const code = codeHere();
  let reason = '';
  if (code !== null) {
    history.replaceState(null, '', `${location.pathname}${location.search}`);
    try {
      session.begin((await call('POST', 'authentication', { body: { code } })).response.token);
    } catch (error) {
      session.end();
      reason = error instanceof ApiError && mayPass(error) ? error.message || t('error.no-answer') : t('signin.used');
    }
  }
  keepFocus();
  const root = document.getElementById('app');
  if (root) render(html`<${App} reason=${reason} />`, root);
}

// A link that is pasted into an open tab only moves within the page, so the page starts again with the link.
addEventListener('hashchange', () => {
  if (codeHere() !== null) location.reload();
});
begin();
