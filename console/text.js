/**
 * Every text of the console, and how the console writes numbers, dates and lists.
 *
 * A text is a whole sentence or clause with placeholders. A text that depends on the number `n` has one form for each
 * plural category. The language `pseudo` makes each text longer and accented, and `pseudo-rtl` writes from right to left, so
 * that tests find texts that are cut off or stand outside this module. The file is long because the texts are one list.
 */

/** @typedef {{one: string, other: string}} Plural */

const TEXTS = {
  // The frame
  'product': 'crm-access',
  'title': '{page} – {product}',
  'skip': 'Skip to the content',
  'nav': 'Views',
  'zone': 'Dates and times are in the portal’s time zone, {zone}.',
  'loading': 'Loading…',
  'again': 'Try again',
  'close': 'Close',
  'back': 'Back',

  // Signing in
  'signin.title': 'Sign in',
  'signin.name': 'E-mail address',
  'signin.password': 'Password',
  'signin.portal': 'Portal',
  'signin.submit': 'Sign in',
  'signin.busy': 'Signing in…',
  'signin.used': 'This link was already used or has expired; sign in with your password instead.',
  'signin.ended': 'Your session has ended; sign in again.',
  'signin.out': 'You are signed out.',
  'signin.failed': 'The sign-in failed',
  'signout': 'Sign out',

  // Errors
  'error.title': 'This did not work',
  'error.view.unread': 'The view could not be read',
  'error.no-answer': 'The service did not answer. Check the connection and try again; a change is never made twice.',
  'error.details': 'Request {id}',
  'error.address.title': 'The address of this page is wrong',
  'error.field': 'This page cannot show the filter field “{name}”. Reload the page to get the newest console.',
  'error.address': '“{name}” in the address of this page is not valid. Nothing is shown, because the filter without this part would select other contacts.',
  'error.view': 'There is no such page.',
  'error.number': 'Type a whole number such as {example}.',
  'error.home': 'Show all contacts',

  // Words for access and contacts
  'private': 'Private',
  'shared': 'Shared',
  'read-only': 'Shared for reading',
  'everyone': 'Everyone',
  'everyone.reads': 'Everyone may read',
  'admins-only': 'Administrators only',
  'company': 'Company',
  'person': 'Person',
  'nobody': 'No manager',
  'unnamed': 'Without a name',
  'no-stage': 'Without a stage',
  'no-type': 'Without a type',
  'list.n': '{n}',
  'list.more': { one: '{names} and {n} more', other: '{names} and {n} more' },

  // Contacts
  'contacts.title': 'Contacts',
  'contacts.caption': 'Contacts that match the filter',
  'contacts.matched': { one: '{n} contact matches', other: '{n} contacts match' },
  'contacts.at-least': { one: 'At least {n} contact matches', other: 'At least {n} contacts match' },
  'contacts.counting': 'Counting the contacts that match…',
  'contacts.uncounted': 'The contacts that match could not be counted',
  'contacts.unknown': 'An unknown number of contacts matches',
  'contacts.none': 'No contact matches this filter.',
  'contacts.none.hint': 'Remove a part of the filter, or show all contacts.',
  'contacts.name': 'Name',
  'contacts.stage': 'Stage',
  'contacts.type': 'Type',
  'contacts.access': 'Access',
  'contacts.read-only': 'you may not edit',
  'contacts.who': 'Who may see it',
  'contacts.created': 'Created',
  'contacts.tags': 'Tags',

  'filter': 'Filter',
  'filter.words': 'Words in the name',
  'filter.words.hint': 'Each word has to occur.',
  'filter.any': 'Any',
  'filter.choices.failed': 'The stages, types and tags could not be read',
  'filter.manager': 'Manager',
  'filter.view.Company': 'Companies',
  'filter.view.Person': 'Persons',
  'filter.view.WithOpportunity': 'With opportunity',
  'filter.from': 'From',
  'filter.to': 'To',
  'filter.zone': 'Whole days in {zone}',
  'filter.tags.all': 'A contact needs every chosen tag.',
  'filter.tags.find': 'Find a tag',
  'filter.tags.more': { one: '{n} more tag: type to find it', other: '{n} more tags: type to find them' },
  'filter.tags.none': 'No tag contains these letters.',
  'filter.clear': 'Clear the filter',
  'filter.remove': 'Remove {part}',
  'filter.active': 'Active filter',
  'filter.every': 'Every contact',
  'filter.part.tags': 'Tag {value}',
  'filter.part.contactStage': 'Stage {value}',
  'filter.part.contactType': 'Type {value}',
  'filter.part.contactListView': '{value}',
  'filter.part.fromDate': 'Created from {value}',
  'filter.part.toDate': 'Created until {value}',
  'filter.part.filterValue': 'Name contains {value}',
  'filter.part.isShared': '{value}',
  'filter.part.responsibleid': 'Manager {value}',
  'filter.unusable': 'A change cannot use this part of the filter: {parts}. Remove it to set access.',

  'page': 'Pages',
  'page.range': '{from}–{to} of {total}',
  'page.range.at-least': '{from}–{to} of at least {total}',
  'page.range.counting': '{from}–{to}',
  'page.previous': 'Previous page',
  'page.next': 'Next page',
  'page.size': 'Rows',
  'sort.by': 'Sort by {column}',

  'select.bar': 'Selection',
  'select.page': 'Select this page',
  'select.one': 'Select {name}',
  'select.n': { one: '{n} contact selected', other: '{n} contacts selected' },
  'select.n.page': { one: '{n} contact of this page selected', other: '{n} contacts of this page selected' },
  'select.n.all': { one: '{n} contact that matches the filter selected', other: 'All {n} contacts that match the filter selected' },
  'select.all': { one: 'Select {n} contact that matches', other: 'Select all {n} that match' },
  'select.clear': 'Clear the selection',
  'select.limit': { one: 'At most {n} contact can be ticked. Select all that match instead.', other: 'At most {n} contacts can be ticked. Select all that match instead.' },
  'select.most': 'At most {n} can be ticked.',
  'select.set': { one: 'Set access of {n} contact', other: 'Set access of {n} contacts' },
  'select.set.none': 'Set access',
  'select.ended': 'No contact selected',

  // Set access
  'access.title': 'Set access',
  'access.bad': 'This link selects no contacts, or more than {n}.',
  'access.choose': 'Choose contacts',
  'access.of': { one: '{n} contact', other: '{n} contacts' },
  'access.of.ticked': 'The contacts that you ticked',
  'access.of.filter': 'Every contact that matches the filter',
  'access.now': 'At present',
  'access.now.private': { one: '{n} is private', other: '{n} are private' },
  'access.now.shared': { one: '{n} is shared', other: '{n} are shared' },
  'access.now.same': 'The private contacts have the same managers: {names}.',
  'access.now.same.none': 'The contacts are shared, or private without managers.',
  'access.now.mixed': 'The private contacts have different managers: mixed.',
  'access.now.sample': { one: 'Based on the first {n} contact.', other: 'Based on the first {n} contacts.' },
  'access.request': 'Request',
  'access.mode': 'Lists of managers',
  'access.mode.edit': 'Add and remove people',
  'access.mode.edit.hint': 'The other people of each list stay.',
  'access.mode.replace': 'Replace each list',
  'access.mode.replace.hint': 'Each contact gets exactly this list.',
  'access.give': 'Give access to',
  'access.take': 'Take access from',
  'access.list': 'People of the list',
  'access.visibility': 'Who else may see them',
  'access.visibility.keep': 'Leave each contact private or shared, as it is',
  'access.visibility.keep.replace': 'To replace the lists, choose private or shared below.',
  'access.visibility.private': 'Private: only the people of the list and administrators',
  'access.visibility.shared': 'Shared: everyone',
  'access.visibility.read-only': 'Shared for reading, as now: everyone sees, the people of the list edit',
  'access.note': 'Note for the record',
  'access.note.hint': 'Stays with the job; at most 200 characters.',
  'access.note.fixed': 'The change may have been made already, so another attempt has the same note.',
  'access.preview': 'Preview',
  'access.preview.first': 'The preview shows which contacts change, before and after, and who gains or loses sight of them. Nothing changes before you confirm.',
  'access.preview.working': 'The preview reads the contacts. Nothing is changed.',
  'access.preview.cancelled': 'The preview was cancelled. Nothing was changed.',
  'access.preview.failed': 'The preview failed. Nothing was changed.',
  'access.preview.other': 'This link leads to a job that is not a preview.',
  'access.preview.expires': 'This preview can be used until {time}.',
  'access.needs-request': 'Name at least one person, or choose private or shared.',
  'access.needs-visibility': 'Choose private or shared.',
  'access.needs-one-side': 'One person cannot both get access and lose access: {names}.',
  'access.nothing': 'Every contact already has this access; there is nothing to change.',
  'access.counts': 'Counts of the preview',
  'access.count.matched': 'Selected',
  'access.count.updated': 'Change',
  'access.count.unchanged': 'Stay as they are',
  'access.count.skipped': 'You may not edit',
  'access.count.failed': 'Cannot be changed',
  'access.count.losesAny': 'Hidden from somebody',
  'access.changes': 'Before and after',
  'access.before': 'Before',
  'access.after': 'After',
  'access.contact': 'Contact',
  'access.gains.title': 'People who start to see contacts',
  'access.loses.title': 'People who stop seeing contacts',
  'access.effect.none': 'Nobody',
  'access.confirm': 'To confirm, type the number of contacts that change: {number}',
  'access.confirm.other': 'This is not the number of contacts that change.',
  'access.apply': { one: 'Change {n} contact', other: 'Change {n} contacts' },
  'access.applying': 'Starting…',
  'access.new-preview': 'New preview',
  'access.stale': 'The preview has expired. Make a new one.',
  'access.edit-form': 'Change the request',
  'access.result': 'Result',
  'access.result.rest': { one: '{n} of {total} contacts stays as it was.', other: '{n} of {total} contacts stay as they were.' },
  'access.more-changes': 'Show more',

  // The sentence of a preview: clauses that are joined
  'effect.sentence': '{clauses}.',
  'effect.and': '{first}; {second}',
  'effect.change': { one: '{n} contact changes', other: '{n} contacts change' },
  'effect.private.keep': { one: '{n} contact becomes private', other: '{n} contacts become private' },
  'effect.private.give': { one: '{n} contact becomes private, with {give} in the list', other: '{n} contacts become private, with {give} in the lists' },
  'effect.private.take': { one: '{n} contact becomes private, without {take} in the list', other: '{n} contacts become private, without {take} in the lists' },
  'effect.private.both': { one: '{n} contact becomes private, with {give} and without {take} in the list', other: '{n} contacts become private, with {give} and without {take} in the lists' },
  'effect.private.replace': { one: '{n} contact becomes private to {give}', other: '{n} contacts become private to {give}' },
  'effect.private.empty': { one: '{n} contact becomes private to administrators', other: '{n} contacts become private to administrators' },
  'effect.shared': { one: '{n} contact becomes shared with everyone', other: '{n} contacts become shared with everyone' },
  'effect.lists.replace': { one: '{n} contact gets the list {give}', other: '{n} contacts get the list {give}' },
  'effect.lists.empty': { one: '{n} contact gets an empty list', other: '{n} contacts get an empty list' },
  'effect.lists.give': { one: '{n} contact gets {give} in its list', other: '{n} contacts get {give} in their lists' },
  'effect.lists.take': { one: '{n} contact loses {take} from its list', other: '{n} contacts lose {take} from their lists' },
  'effect.lists.both': { one: '{n} contact gets {give} in its list and loses {take}', other: '{n} contacts get {give} in their lists and lose {take}' },
  'effect.stay.private': { one: '{n} contact, already private, gets another list', other: '{n} contacts, already private, get another list' },
  'effect.stay.shared': { one: '{n} contact, already shared, changes in its list or in who may edit', other: '{n} contacts, already shared, change in their list or in who may edit' },
  'effect.loses': { one: '{n} person loses sight of some of them', other: '{n} people lose sight of some of them' },
  'effect.loses.you': { one: '{n} person loses sight of some of them, you of {you}', other: '{n} people lose sight of some of them, you of {you}' },
  'effect.loses.only-you': 'you alone lose sight of {n} of them',
  'effect.loses.none': 'nobody loses sight of a contact',
  'effect.gains': { one: '{n} person gains sight of some of them', other: '{n} people gain sight of some of them' },

  // A job and its progress
  'job.title': 'Job',
  'job.progress': 'Progress of the job',
  'job.announce': 'The job is at {percent} per cent.',
  'job.announce.done': 'The job has ended: {sentence}',
  'job.state.queued': 'Queued',
  'job.state.running': 'Running',
  'job.state.done': 'Done',
  'job.state.failed': 'Failed',
  'job.state.cancelled': 'Cancelled',
  'job.state.stopping': 'Stopping',
  'job.kind.contact': 'One contact',
  'job.kind.contacts': 'Several contacts',
  'job.kind.filter': 'All contacts that match a filter',
  'job.kind.undo': 'Undo',
  'job.kind.preview': 'Preview',
  'job.kind.snapshot': 'Count of private and shared contacts',
  'job.updated': { one: '{n} contact was changed.', other: '{n} contacts were changed.' },
  'job.counted': { one: '{n} contact was counted.', other: '{n} contacts were counted.' },
  'job.would': { one: '{n} contact would change.', other: '{n} contacts would change.' },
  'job.unchanged': { one: '{n} already had this access.', other: '{n} already had this access.' },
  'job.skipped': { one: 'The job’s user may not edit {n} contact.', other: 'The job’s user may not edit {n} contacts.' },
  'job.conflicts': { one: '{n} was changed since and left alone.', other: '{n} were changed since and left alone.' },
  'job.failed': { one: '{n} could not be written.', other: '{n} could not be written.' },
  'job.speed': { one: '{n} contact a second', other: '{n} contacts a second' },
  'job.end': 'ends about {time}',
  'job.percent': '{percent} %',
  'job.cancel': 'Cancel the job',
  'job.cancelled': 'The job is stopping. The changes up to then can be undone.',
  'job.cancelled.reads': 'The job is stopping. Nothing was changed.',
  'job.undo': 'Undo',
  'job.actions': 'Action',
  'job.undo.title': 'Undo this job',
  'job.undo.counting': 'Counting what the undo would restore…',
  'job.undo.n': { one: '{n} contact gets back the access it had before the job.', other: '{n} contacts get back the access they had before the job.' },
  'job.undo.conflicts': { one: '{n} was changed again since and stays as it is.', other: '{n} were changed again since and stay as they are.' },
  'job.undo.skipped': { one: '{n} may not be edited by you.', other: '{n} may not be edited by you.' },
  'job.undo.none': 'There is nothing to restore.',
  'job.undo.uncounted': 'There are too many contacts to count what the undo would restore. The undo restores each contact whose access nobody changed since the job.',
  'job.undo.confirm.uncounted': 'Restore the contacts',
  'job.undo.confirm': { one: 'Restore {n} contact', other: 'Restore {n} contacts' },
  'job.undo.note': 'An undo is a job and can be undone. Changes can be undone as long as the states before them are kept: 90 days, unless the operator chose otherwise.',
  'job.open': 'Show the job',
  'job.by.schedule': 'The operator’s schedule',
  'job.by.rule': 'Rule {name}',
  'job.origin': 'Origin',
  'job.undo-of': 'Undo of {job}',
  'job.undo-of.job': 'an earlier job',
  'job.apply-of': 'Applies {job}',
  'job.apply-of.job': 'a preview',
  'job.started': 'Started',
  'job.finished': 'Ended',
  'job.created': 'Requested',
  'job.author': 'By',
  'job.target': 'New access',
  'job.note': 'Note',
  'job.kind': 'Kind',
  'job.state': 'State',
  'job.counts': 'Changed',
  'job.changes': 'Changes',
  'job.changes.none': 'This job changed no contact.',
  'job.changes.expired': 'The states before this job are no longer kept.',
  'job.conflict': 'Changed again since; left alone',
  'job.hidden': 'Contact {id}: without a name, removed, or hidden from you',
  'target.give': 'Give access to {names}',
  'target.take': 'Take access from {names}',
  'target.replace': 'List {names}',
  'target.admins': 'Empty list',

  'jobs.title': 'Jobs',
  'jobs.caption': 'Jobs, newest first',
  'jobs.none': 'No job matches.',
  'jobs.none.here': 'No job on this page matches. Older jobs may match.',
  'jobs.none.hint': 'Every change of access appears here, with who made it, and can be undone.',
  'jobs.older': 'Older jobs',
  'jobs.newest': 'Newest jobs',
  'jobs.daily': 'Contacts changed per day',
  'jobs.daily.day': 'Day',
  'jobs.daily.bar': { one: '{day}: {n} contact changed', other: '{day}: {n} contacts changed' },
  'jobs.daily.none': 'No contact was changed in the last 90 days.',
  'jobs.filter.user': 'User',
  'jobs.filter.rule': 'Rule',
  'jobs.filter.contactid': 'Contact number',
  'jobs.open': { one: '{n} job is open', other: '{n} jobs are open' },

  // Charts
  'chart.table': 'Show as a table',
  'chart.picture': 'Show as a picture',

  // A contact
  'contact.title': 'Contact {id}',
  'contact.data': 'Data',
  'contact.who': 'Who may see and edit',
  'contact.see': 'See',
  'contact.edit': 'Edit',
  'contact.person': 'Person',
  'contact.reason': 'Reason',
  'contact.yes': 'Yes',
  'contact.no': 'No',
  'contact.everyone': 'Everyone in the portal',
  'contact.admins': 'Administrators',
  'contact.others': 'Everyone else',
  'contact.reason.administrator': 'Is an administrator',
  'contact.reason.shared': 'The contact is shared',
  'contact.reason.in-list': 'Is in the list of managers',
  'contact.reason.not-in-list': 'The list of managers does not name this person',
  'contact.reason.read-only': 'The contact is shared for reading, and the list does not name this person',
  'contact.why': 'Why may somebody see it?',
  'contact.why.you': 'Why may you see it?',
  'contact.why.person': 'Ask about a person',
  'contact.set-by': 'This access was set by {name} on {time}.',
  'contact.set-by.rule': 'This access was set by the rule {rule} of {name} on {time}.',
  'contact.set-by.none': 'An import set this access, or the contact still has the access of every new contact.',
  'contact.history': 'History of access',
  'contact.history.loaded': 'Imported with this access',
  'contact.history.expired': 'Earlier changes are no longer kept',
  'contact.history.none': 'The access of this contact was never changed since its import.',
  'contact.history.when': 'When',
  'contact.history.what': 'Changed by',
  'contact.change': 'Change access',
  'contact.list.unread': 'The access can be changed once its history has been read.',
  'contact.list.hidden': 'The list of a shared contact is shown to administrators only. Its people stay in the list.',
  'contact.change.none': 'You may see this contact, but not edit it.',
  'contact.save': 'Preview and save',
  'contact.save.title': 'Save this access?',
  'contact.save.confirm': 'Save',
  'contact.save.done': 'The access is saved.',
  'contact.save.same': 'This is the present access already.',
  'contact.conflict.title': 'Somebody changed this contact meanwhile',
  'contact.conflict.text': 'Nothing was written. Compare both versions and decide.',
  'contact.conflict.theirs': 'Now in force',
  'contact.conflict.mine': 'Yours',
  'contact.conflict.keep': 'Keep what is in force',
  'contact.conflict.overwrite': 'Replace it with yours',
  'contact.address': 'Address',
  'contact.reach': 'Contact details',
  'contact.about': 'About',
  'contact.industry': 'Industry',
  'contact.created-by': '{time} by {name}',

  // Rules
  'rules.title': 'Rules',
  'rules.caption': 'Standing rules',
  'rules.none': 'There is no rule yet.',
  'rules.none.hint': 'A rule sets the access of all contacts that match a filter, on a schedule.',
  'rules.new': 'New rule',
  'rules.name.hint': 'Letters, digits, dots, dashes and underscores, but not .json or .xml at the end.',
  'rules.filter.edit': 'To choose other contacts, open this list, change the filter, and press “Use this filter for the rule”.',
  'rules.filter.edit.new': 'To choose other contacts, open this list, change the filter, and press “Make a rule for these contacts”.',
  'rules.filter.show': 'Show these contacts',
  'rules.filter.make': 'Make a rule for these contacts',
  'rules.filter.use': 'Use this filter for the rule {name}',
  'rules.schedule': 'Schedule',
  'rules.cron': 'Cron expression',
  'rules.cron.hint': 'Minute, hour, day of the month, month, day of the week. For example 0 2 * * * is every night at two.',
  'rules.zone': 'Time zone',
  'rules.next': 'Next runs',
  'rules.next.one': 'Next run',
  'rules.next.five': 'The next five runs, in {zone}',
  'rules.limit': 'Change at most',
  'rules.limit.hint': 'If more contacts would change, the run writes nothing. If more come to need a change meanwhile, the run stops at this number. Empty means no limit.',
  'rules.limit.n': { one: 'At most {n} contact', other: 'At most {n} contacts' },
  'rules.limit.none': 'No limit',
  'rules.enabled': 'Runs on schedule',
  'rules.disabled': 'Paused',
  'rules.last': 'Last run',
  'rules.last.error': 'Last error',
  'rules.never': 'Not yet',
  'rules.owner': 'Owner: {name}',
  'rules.save': 'Save the rule',
  'rules.saved': 'The rule is saved.',
  'rules.delete': 'Delete the rule',
  'rules.delete.title': 'Delete the rule {name}?',
  'rules.delete.text': 'The rule never runs again. The changes that it made stay.',
  'rules.deleted': 'The rule is deleted.',
  'rules.preview': 'Preview a run',
  'rules.preview.text': 'The preview counts what a run would change now. Nothing is changed.',
  'rules.preview.stops': { one: 'A run would change {n} contact, but at most {limit}: the run would write nothing.', other: 'A run would change {n} contacts, but may change at most {limit}: the run would write nothing.' },
  'rules.exists': 'There is a rule with this name already, and nothing was saved. Choose another name.',
  'rules.conflict': 'Somebody changed this rule meanwhile. Load it again before you save.',

  // The view of who can see what
  'who.title': 'Who can see what',
  'who.person': 'By person',
  'who.person.choose': 'Choose a person',
  'who.person.hint': 'Choose a person to see which private contacts the person may see.',
  'who.person.admin': '{name} is an administrator, and sees and edits every contact.',
  'who.person.shared': { one: '{name} sees {n} shared contact, like everyone.', other: '{name} sees {n} shared contacts, like everyone.' },
  'who.person.private': { one: '{name} sees {n} private contact by being in its list.', other: '{name} sees {n} private contacts by being in their lists.' },
  'who.person.shared.at-least': { one: '{name} sees at least {n} shared contact, like everyone.', other: '{name} sees at least {n} shared contacts, like everyone.' },
  'who.person.at-least': { one: '{name} sees at least {n} private contact by being in its list.', other: '{name} sees at least {n} private contacts by being in their lists.' },
  'who.person.visible': 'The numbers leave out private contacts that you do not see.',
  'who.person.none.visible': '{name} is in the list of no private contact that you see.',
  'who.person.list': 'Private contacts of {name}',
  'who.person.move': 'Hand all contacts of {name} over to somebody else',
  'who.person.none': '{name} is in the list of no private contact.',
  'who.contact': 'By contact',
  'who.contact.find': 'Find a contact by words in its name',
  'who.contact.results': 'Contacts that were found',
  'who.chart': 'Private and shared contacts',
  'who.chart.stages': 'By stage',
  'who.chart.tags': 'By tag',
  'who.chart.largest': 'The {n} largest of {total} tags.',
  'who.chart.as-of': 'Counted on {time}.',
  'who.chart.count': 'Count again',
  'who.chart.count.first': 'Count now',
  'who.chart.counting': 'Counting the contacts…',
  'who.chart.never': 'The contacts were not counted yet.',
  'who.chart.admins': 'Only administrators see these counts.',
  'who.chart.editing': 'Shared for editing',
  'who.chart.all': 'All',
  'who.chart.bar': '{name}: {private} private, {editing} shared for editing, {reading} shared for reading',

  // Choosing people
  'people.add': 'Type a name to add a person',
  'people.choose': 'Type a name',
  'people.none': 'Nobody has this name.',
  'people.unchosen': '“{typed}” is not chosen. Choose a person from the list, or clear the field.',
  'people.unread': 'The people could not be read. Type again to try once more.',
  'people.found': { one: '{n} person found', other: '{n} people found' },
  'people.remove': 'Remove {name}',
  'people.chosen': 'Chosen people',
  'people.unknown': 'Somebody who left ({id})',
};

/** @typedef {keyof typeof TEXTS} Key */
/** @typedef {Record<string, string | number>} Values */

/** Returns the stored language of the page. A browser that keeps no data of pages throws. */
function stored() {
  try {
    return globalThis.localStorage?.getItem('crm-access.language') ?? '';
  } catch {
    return '';
  }
}

const setting = stored();
const locale = globalThis.navigator?.language || 'en';
const plurals = new Intl.PluralRules('en');
const numbers = new Intl.NumberFormat(locale);
const ACCENTS = new Map([...'aeiouycnszAEIOUYCNSZ'].map((letter, at) => [letter, [...'àéîöüýçñšžÀÉÎÖÜÝÇÑŠŽ'][at]]));

/** The language and the direction of the page. */
export const language = { code: 'en', direction: setting === 'pseudo-rtl' ? 'rtl' : 'ltr' };

/** Lengthens a text by two fifths, but not its placeholders. @param {string} text */
function pseudo(text) {
  const parts = text.split(/(\{\w+\})/);
  const accented = parts.map((part) => (part.startsWith('{') ? part : part.replace(/./g, (one) => ACCENTS.get(one) ?? one)));
  return `[${accented.join('')}${' ····'.repeat(Math.ceil((text.length * 0.4) / 5))}]`;
}

/**
 * @param {Key} key
 * @param {Record<string, unknown>} values
 */
function template(key, values) {
  /** @type {string | Plural} */
  const text = TEXTS[key];
  const form = typeof text === 'string' ? text : text[plurals.select(Number(values.n)) === 'one' ? 'one' : 'other'];
  return setting.startsWith('pseudo') ? pseudo(form) : form;
}

/**
 * Returns a text with its values.
 *
 * @param {Key} key
 * @param {Values} [values]
 */
export function t(key, values = {}) {
  return template(key, values).replace(/\{(\w+)\}/g, (_, name) => shown(values[name]));
}

/**
 * Returns the parts of a text whose values may be elements, such as names with a direction of their own.
 *
 * @param {Key} key
 * @param {Record<string, unknown>} values
 * @returns {any[]}
 */
export function rich(key, values) {
  const parts = template(key, values).split(/\{(\w+)\}/);
  return parts.map((part, at) => (at % 2 === 0 ? part : shown(values[part])));
}

/** @param {any} value */
function shown(value) {
  return typeof value === 'number' ? numbers.format(value) : value;
}

/** Returns whether there is such a text. @param {string} key @returns {key is Key} */
export function isText(key) {
  return key in TEXTS;
}

/** @param {number} value */
export const number = (value) => numbers.format(value);

/** The digits that users type: those of the browser's language, and the Arabic numerals. */
const DIGITS = new Map([...'0123456789'].flatMap((digit) => [[digit, digit], [numbers.format(Number(digit)), digit]]));
const WHOLE = /^(\d+|\d{1,3}(?:[\s.,'’٬]\d{2,3})*[\s.,'’٬]\d{3})$/;

/** Reads a whole number as users type it, with or without separators of groups. @param {string} typed @returns {number | null} */
export function typedNumber(typed) {
  const plain = [...typed.trim()].map((one) => DIGITS.get(one) ?? one).join('');
  const value = WHOLE.test(plain) ? Number(plain.replace(/\D/g, '')) : NaN;
  return Number.isSafeInteger(value) ? value : null;
}

/** The portal's time zone: all times are shown in this zone. */
let zone = 'UTC';
/** @type {Record<string, Intl.DateTimeFormat>} */
let formats = {};

/** Sets the portal's zone. If the browser does not know the zone, times are shown in UTC. @param {string} name */
export function setZone(name) {
  try {
    new Intl.DateTimeFormat(locale, { timeZone: name });
    zone = name;
  } catch {
    zone = 'UTC';
  }
  formats = {};
}

/** Returns the name of the zone in which times are shown. */
export const shownZone = () => zone;

/** @type {Record<string, Intl.DateTimeFormatOptions>} */
const STYLES = {
  day: { year: 'numeric', month: 'short', day: 'numeric' },
  short: { month: 'short', day: 'numeric' },
  minute: { year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' },
  clock: { hour: '2-digit', minute: '2-digit', second: '2-digit' },
  weekday: { weekday: 'short', year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' },
};

/**
 * Writes an instant in the portal's zone, or in another zone.
 *
 * @param {string} instant
 * @param {'day' | 'short' | 'minute' | 'clock' | 'weekday'} [style]
 * @param {string} [timeZone]
 */
export function time(instant, style = 'minute', timeZone = zone) {
  const name = `${style} ${timeZone}`;
  formats[name] ??= formatOf(style, timeZone);
  // The service writes seven decimals; a browser reads three.
  return formats[name].format(new Date(instant.replace(/(\.\d{3})\d+/, '$1')));
}

/**
 * Returns the format of times in a zone. A browser that does not know the zone shows UTC, and says so.
 *
 * @param {'day' | 'short' | 'minute' | 'clock' | 'weekday'} style
 * @param {string} [timeZone]
 */
function formatOf(style, timeZone) {
  try {
    return new Intl.DateTimeFormat(locale, { ...STYLES[style], timeZone });
  } catch {
    return new Intl.DateTimeFormat(locale, { ...STYLES[style], timeZone: 'UTC', timeZoneName: 'short' });
  }
}

/** Returns whether a text is a day of the calendar, such as 2026-11-25. @param {string} text */
export function isDay(text) {
  const midnight = new Date(`${text}T00:00:00Z`);
  // A browser reads February 30 as a day of March.
  return !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(`${text}T`);
}

/** Writes a date without a time, which no zone moves. A text that is no day stays. @param {string} text */
export const date = (text) => (isDay(text) ? time(`${text}T00:00:00Z`, 'day', 'UTC') : text);
