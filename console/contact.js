/** One contact: its data, who may see and edit it and why, the history of its access, and changing that access. */

import { useEffect, useRef, useState } from './hooks.js';
import { ApiError, call, get, once } from './api.js';
import { rich, t } from './text.js';
import {
  AccessWord, Failure, Loading, Name, Page, PeoplePicker, Shown, Swatched, Table, When, address, announce, columnsOf, go, html, nameOf,
  useAction, useAnswer, usePeople,
} from './ui.js';
import { AccessState, Dialog, NoteField, noted } from './work.js';

/** The share type of a contact that everyone sees, and that only the people of its list edit. */
const READ_ONLY = 2;
/** The number of times that the page reads a contact and its history until both show the same access. */
const TRIES = 3;

/**
 * The page of a contact.
 *
 * @param {import('./app.js').ViewProperties} properties
 */
export function Contact({ subject, query, frame }) {
  const path = `crm/contact/${encodeURIComponent(subject)}`;
  const contact = useAnswer(path);
  const history = useAnswer(`${path}/access/history`, { count: 10 });
  const [turn, setTurn] = useState(0);
  const title = t('contact.title', { id: subject });
  const changed = () => {
    contact.reload();
    history.reload();
    setTurn((before) => before + 1);
  };
  // The history shows the list of this version of the contact only if both were read at the same revision.
  const isSame = revisionIn(history.answer) === revisionIn(contact.answer);
  const tries = useRef(0);
  useEffect(() => {
    if (!frame.you.isAdmin || contact.busy || history.busy || !contact.answer || !history.answer) return;
    // Somebody changed the access between the two reads.
    if (!isSame && (tries.current += 1) < TRIES) changed();
    if (isSame) tries.current = 0;
  }, [contact.busy, history.busy]);
  if (contact.error) return html`<${Page} title=${title}><${Failure} error=${contact.error} retry=${contact.reload} /><//>`;
  if (!contact.answer) return html`<${Page} title=${title}><${Loading} /><//>`;
  const shown = contact.answer.response;
  // Administrators see the list of a shared contact too, which the history holds.
  const waits = frame.you.isAdmin && !shown.isPrivate && !isSame && tries.current < TRIES;
  const list = listOf(shown, frame.you.isAdmin && isSame ? history.answer?.response : null);
  return html`<${Page} title=${shown.displayName || title} name=${html`<${Name}>${shown.displayName}<//>`}
      actions=${html`<${AccessWord} shareType=${shown.shareType} />`}>
    <div class="columns">
      <div class="stack"><${Data} of=${shown} /><${Sight} of=${shown} list=${list} path=${path} you=${frame.you.id} named=${frame.you.isAdmin ? query.get('userId') : null} turn=${turn} asks=${frame.you.isAdmin} /></div>
      <div class="stack">
        ${!shown.canEdit ? html`<p class="notice">${t('contact.change.none')}</p>`
          : waits ? html`<section class="panel stack" aria-labelledby="edit"><h2 id="edit">${t('contact.change')}</h2>
              ${history.error ? html`<p>${t('contact.list.unread')}</p>` : html`<${Loading} lines=${4} />`}</section>`
          : html`<${Edit} key=${contact.answer.etag} of=${shown} list=${list} etag=${contact.answer.etag} path=${path} onChanged=${changed} />`}
        <${History} of=${history} />
      </div>
    </div><//>`;
}

/** Returns the revision of the access that an answer shows. @param {import('./api.js').Answer | undefined} answer */
const revisionIn = (answer) => answer?.etag?.split('.')[0];

/**
 * Returns the managers of a contact; null if they are hidden. A shared contact shows no list, so the function takes the list
 * from the history, which shows the whole list only to administrators.
 *
 * @param {any} contact
 * @param {any[] | null | undefined} history The changes, the latest first.
 * @returns {any[] | null}
 */
function listOf(contact, history) {
  if (contact.isPrivate) return contact.accessList;
  return history ? (history[0]?.after?.accessList ?? []) : null;
}

/** @param {{of: any}} properties */
function Data({ of }) {
  const addresses = of.addresses.map((/** @type {any} */ one) => [one.street, one.zip, one.city, one.state, one.country].filter(Boolean).join(', ')).filter(Boolean);
  const facts = [
    ['job.kind', t(of.isCompany ? 'company' : 'person')],
    ['contacts.stage', html`<${Swatched} of=${of.contactStatus} none=${t('no-stage')} />`],
    ['contacts.type', html`<${Swatched} of=${of.contactType} none=${t('no-type')} />`],
    ['contacts.tags', of.tags.length > 0 && html`<ul class="chips">${of.tags.map((/** @type {string} */ tag) => html`<li class="chip"><a href=${address('contacts', { tags: tag })}><${Name}>${tag}<//></a></li>`)}</ul>`],
    ['contact.about', of.about && html`<${Name}>${of.about}<//>`],
    ['contact.industry', of.industry && html`<${Name}>${of.industry}<//>`],
    ['contact.address', addresses.length > 0 && addresses.map((/** @type {string} */ line) => html`<p><${Name}>${line}<//></p>`)],
    ['contact.reach', of.commonData.length > 0 && of.commonData.map((/** @type {any} */ one) => html`<p><${Name}>${one.data}<//> <span class="quiet">${one.categoryName}</span></p>`)],
    ['contacts.created', of.createBy ? rich('contact.created-by', { time: html`<${When} at=${of.created} />`, name: html`<${Name}>${of.createBy.displayName}<//>` }) : html`<${When} at=${of.created} />`],
  ];
  return html`<section class="panel stack" aria-labelledby="data"><h2 id="data">${t('contact.data')}</h2>
    <dl class="facts">${facts.filter(([, value]) => value).map(([key, value]) => html`<dt>${t(key)}</dt><dd>${value}</dd>`)}</dl></section>`;
}

/**
 * The people who may see and edit the contact, and why; and the same for a person that the user names.
 *
 * @param {{of: any, list: any[] | null, path: string, you: string, named: string | null, turn: number, asks: boolean}} properties
 *   `named` is the person about whom the user asks, if `asks`: the user may ask about others.
 */
function Sight({ of, list, path, you, named, turn, asks }) {
  const rows = [
    { key: 'admins', name: t('contact.admins'), see: true, edit: true, reason: t('contact.reason.administrator') },
    // Nobody needs the list of a contact that everyone edits.
    ...(of.shareType === 1 ? [] : list ?? []).map((/** @type {any} */ one) => ({ key: one.id, person: one, see: true, edit: true, reason: t('contact.reason.in-list') })),
    of.shareType === 0
      ? { key: 'others', name: t('contact.others'), see: false, edit: false, reason: t('contact.reason.not-in-list') }
      : { key: 'others', name: t('contact.everyone'), see: true, edit: of.shareType === 1, reason: t(of.shareType === 1 ? 'contact.reason.shared' : 'contact.reason.read-only') },
  ];
  const yes = (/** @type {boolean} */ value) => html`<span class="whole-word">${value ? '✓ ' : '✗ '}${t(value ? 'contact.yes' : 'contact.no')}</span>`;
  return html`<section class="panel stack" aria-labelledby="sight"><h2 id="sight">${t('contact.who')}</h2>
    <${Table} caption=${t('contact.who')} rows=${rows} keyOf=${(/** @type {any} */ row) => row.key} columns=${columnsOf([
      {
        key: 'person', title: t('contact.person'), head: true,
        cell: (row) => (row.person ? html`<a href=${address('who', { userId: row.person.id })}><${Name}>${nameOf(row.person)}<//></a>` : row.name),
      },
      { key: 'see', title: t('contact.see'), cell: (row) => yes(row.see) },
      { key: 'edit', title: t('contact.edit'), cell: (row) => yes(row.edit) },
      { key: 'reason', title: t('contact.reason'), cell: (row) => row.reason },
    ])} />
    <${Why} path=${path} you=${you} named=${named} id=${of.id} turn=${turn} asks=${asks} />
  </section>`;
}

/** @param {{path: string, you: string, named: string | null, id: number, turn: number, asks: boolean}} properties */
function Why({ path, you, named, id, turn, asks }) {
  const why = useAnswer(`${path}/access/why`, { userId: named ?? you });
  useEffect(() => {
    if (turn > 0) why.reload();
  }, [turn]);
  return html`<div class="stack tight"><h3>${t(asks ? 'contact.why' : 'contact.why.you')}</h3>
    ${asks && html`<${PeoplePicker} label=${t('contact.why.person')} single chosen=${named ? [named] : []}
      onChange=${(/** @type {string[]} */ [one]) => go(address('contact', one ? { userId: one } : {}, id), 'replace')} />`}
    <${Shown} of=${why} lines=${2}>${(/** @type {import('./api.js').Answer} */ { response: { user, see, edit, setBy } }) => {
      const answer = (/** @type {any} */ of, /** @type {import('./text.js').Key} */ key) => html`<dt>${t(key)}</dt>
        <dd><strong>${t(of.allowed ? 'contact.yes' : 'contact.no')}</strong> – ${t(/** @type {any} */ (`contact.reason.${of.reason}`))}</dd>`;
      return html`<div class="stack tight"><p><strong><${Name}>${user.displayName}<//></strong></p>
        <div role="status"><dl class="facts">${answer(see, 'contact.see')}${answer(edit, 'contact.edit')}</dl></div>
        <p>${setBy ? html`<${SetBy} job=${setBy} />` : t('contact.set-by.none')}</p></div>`;
    }}<//></div>`;
}

/** @param {{job: any}} properties The job that set the access. */
function SetBy({ job }) {
  const values = {
    name: html`<${Name}>${job.createdBy ? nameOf(job.createdBy) : t('job.by.schedule')}<//>`,
    time: html`<a href=${address('job', {}, job.id)}><${When} at=${job.created} /></a>`,
    rule: html`<a href=${address('rule', {}, job.rule ?? '')}><${Name}>${job.rule}<//></a>`,
  };
  return html`<span>${rich(job.rule ? 'contact.set-by.rule' : 'contact.set-by', values)}</span>`;
}

/** @param {{of: ReturnType<typeof useAnswer>}} properties */
function History({ of: history }) {
  const how = (/** @type {any} */ row) =>
    row.job
      ? html`<a href=${address('job', {}, row.job.id)}>${t(/** @type {any} */ (`job.kind.${row.job.kind}`))}</a>
        <span class="kind"><${Name}>${row.job.createdBy ? nameOf(row.job.createdBy) : t('job.by.schedule')}<//></span>
        ${row.job.note && html`<span class="quiet kind"><${Name}>${row.job.note}<//></span>`}`
      : html`<span class="quiet">${t(row.source === 'expired' ? 'contact.history.expired' : 'contact.history.loaded')}</span>`;
  return html`<section class="panel stack" aria-labelledby="history"><h2 id="history">${t('contact.history')}</h2>
    <${Shown} of=${history} lines=${3}>${(/** @type {import('./api.js').Answer} */ { response }) =>
      response.length === 0
        ? html`<p class="quiet">${t('contact.history.none')}</p>`
        : html`<${Table} caption=${t('contact.history')} rows=${response} keyOf=${(/** @type {any} */ row) => row.job?.id ?? row.source} columns=${columnsOf([
            {
              key: 'when', title: t('contact.history.when'),
              cell: (row) => (row.job ? html`<${When} at=${row.job.created} />` : '–'),
            },
            { key: 'how', title: t('contact.history.what'), cell: how },
            { key: 'before', title: t('access.before'), cell: (row) => html`<${AccessState} of=${row.before} other=${row.after} />` },
            { key: 'after', title: t('access.after'), cell: (row) => html`<${AccessState} of=${row.after} other=${row.before} />` },
          ])} />`}<//></section>`;
}

/**
 * Changes the access of the contact that is shown: only if nobody changed the contact since, and after a look at before
 * and after.
 *
 * A user to whom the list is not shown adds people to the list, and never replaces the list.
 *
 * @param {{of: any, list: any[] | null, etag: string | null, path: string, onChanged: () => void}} properties
 */
function Edit({ of, list, etag, path, onChanged }) {
  // Until the user chooses, the contact keeps its own share type. No call makes a contact shared for reading.
  const [chosen, setChosen] = useState(/** @type {boolean | null} */ (null));
  const [people, setPeople] = useState(idsOf(list));
  const [plan, setPlan] = useState(/** @type {{before: any, after: any, etag: string | null, body: object} | null} */ (null));
  const [theirs, setTheirs] = useState(/** @type {{response: any, etag: string | null} | null} */ (null));
  const [note, setNote] = useState('');
  const action = useAction();
  const shared = chosen ?? !of.isPrivate;
  const readOnly = of.shareType === READ_ONLY;
  const same = (chosen === null || (chosen === !of.isPrivate && !readOnly)) && people.join() === idsOf(list).join();
  const radio = (/** @type {boolean | null} */ value, /** @type {import('./text.js').Key} */ key) => html`<label class="check">
    <input type="radio" name="shared" checked=${chosen === value || (chosen === null && !readOnly && value === shared)} onChange=${() => setChosen(value)} />
    <span>${t(key)}</span></label>`;

  /** Returns the request that gives a version of the contact the access of the form. */
  const bodyOn = (/** @type {any} */ version) => {
    const before = idsOf(version === of ? list : version.accessList);
    const addManagers = people.filter((id) => !before.includes(id));
    const removeManagers = list === null ? [] : before.filter((id) => !people.includes(id));
    const keepsType = chosen === null && version.shareType === of.shareType;
    const type = keepsType ? {} : { isShared: shared };
    if (list === null) return { ...type, addManagers };
    // The service refuses a whole list that names somebody who left, so the form sends the differences. The page does not
    // know the present list of a shared contact that somebody changed meanwhile, so the form then sends the whole list.
    const isKnown = version === of || version.isPrivate;
    return isKnown ? { ...type, addManagers, removeManagers } : { isShared: shared, managerList: people };
  };
  /** Runs a call with a tag. A contact that somebody changed meanwhile shows both versions. */
  const guarded = (/** @type {() => Promise<void>} */ work) =>
    action.run(async () => {
      try {
        await work();
      } catch (error) {
        if (!(error instanceof ApiError && error.status === 412)) throw error;
        setPlan(null);
        setTheirs(await get(path));
      }
    });
  /** Previews the change of a version: the one that the page shows, or the one that is in force by now. */
  const preview = (/** @type {any} */ before, /** @type {string | null} */ etag) =>
    guarded(async () => {
      const body = bodyOn(before);
      const { response } = await call('PUT', `${path}/access.json`, { query: { dryRun: true }, body, ifMatch: etag });
      setTheirs(null);
      // An answer shows no list of a shared contact.
      const after = list === null || response.isPrivate ? response : { ...response, accessList: null };
      setPlan({ before: before === of ? { ...of, accessList: list ?? [] } : before, after, etag, body });
    });
  const save = () =>
    guarded(async () => {
      const { etag, body } = /** @type {NonNullable<typeof plan>} */ (plan);
      await once(`contact ${of.id} ${etag} ${JSON.stringify(body)} ${note}`, (key) =>
        call('PUT', `${path}/access.json`, { query: noted(note), body, ifMatch: etag, key }));
      setPlan(null);
      announce(t('contact.save.done'));
      onChanged();
    });

  return html`<section class="panel stack" aria-labelledby="edit"><h2 id="edit">${t('contact.change')}</h2>
    <form class="stack" onSubmit=${(/** @type {Event} */ event) => {
      event.preventDefault();
      preview(of, etag);
    }}>
      <fieldset><legend>${t('contacts.access')}</legend><div class="radio-list">
        ${readOnly && radio(null, 'access.visibility.read-only')}
        ${radio(false, 'access.visibility.private')}${radio(true, 'access.visibility.shared')}
      </div></fieldset>
      <${PeoplePicker} label=${t(list === null ? 'access.give' : 'access.list')} chosen=${people} onChange=${setPeople} />
      ${list === null && html`<p class="hint">${t('contact.list.hidden')}</p>`}
      ${action.error && html`<${Failure} error=${action.error} />`}
      <div class="actions"><button type="submit" class="primary" disabled=${same} aria-disabled=${String(action.busy)}>${t('contact.save')}</button>
        ${same && html`<p class="hint">${t('contact.save.same')}</p>`}</div>
    </form>
    ${plan && html`<${Dialog} title=${t('contact.save.title')} onClose=${() => setPlan(null)}
      footer=${html`<button type="button" onClick=${() => setPlan(null)}>${t('back')}</button>
        <button type="button" class="primary" aria-disabled=${String(action.busy)} onClick=${save}>${t('contact.save.confirm')}</button>`}>
      ${action.error && html`<${Failure} error=${action.error} retry=${save} />`}
      <dl class="facts"><dt>${t('access.before')}</dt><dd><${AccessState} of=${plan.before} /></dd><dt>${t('access.after')}</dt><dd>${plan.after.accessList ? html`<${AccessState} of=${plan.after} />` : html`<${Mine} shareType=${plan.after.shareType} people=${people} />`}</dd></dl>
      <${NoteField} note=${note} onChange=${setNote} error=${action.error} /><//>`}
    ${theirs && html`<${Dialog} title=${t('contact.conflict.title')} onClose=${onChanged}
      footer=${html`<button type="button" onClick=${onChanged}>${t('contact.conflict.keep')}</button>
        <button type="button" class="primary" aria-disabled=${String(action.busy)} onClick=${() => preview(theirs.response, theirs.etag)}>${t('contact.conflict.overwrite')}</button>`}>
      ${action.error && html`<${Failure} error=${action.error} />`}
      <p>${t('contact.conflict.text')}</p>
      <dl class="facts"><dt>${t('contact.conflict.theirs')}</dt><dd><${AccessState} of=${theirs.response} /></dd>
        <dt>${t('contact.conflict.mine')}</dt><dd><${Mine} shareType=${chosen === null && theirs.response.shareType === of.shareType ? of.shareType : Number(shared)} people=${people} /></dd></dl><//>`}
  </section>`;
}

/** @param {any[] | null} people @returns {string[]} */
const idsOf = (people) => (people ?? []).map((one) => one.id);

/** @param {{shareType: number, people: string[]}} properties */
function Mine({ shareType, people }) {
  return html`<${AccessState} of=${{ shareType, accessList: usePeople(people) }} />`;
}
