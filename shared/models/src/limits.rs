//! Every bound of the service, with its unit. Bounds that depend on one another are tied together below.

use jiff::SignedDuration;

/// Bytes of a request body; a longer one is refused.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Bytes of an answer that Lambda takes from a function.
const LAMBDA_ANSWER_BYTES: usize = 6 * 1024 * 1024;

/// Bytes of an answer's body. Lambda has it as a JSON string in which quotes and backslashes take two bytes each.
pub const MAX_ANSWER_BYTES: usize = 2816 * 1024;

/// Contacts on a page of an answer, and what a page holds when the call does not say.
pub const MAX_PAGE: usize = 1000;

/// The largest `startIndex` of a list of jobs, which is read past everything before it. Longer lists are paged by key.
pub const MAX_JOBS_START_INDEX: usize = 10_000;

/// Values in one array of a request: managers, tags, stages or types.
pub const MAX_LIST_VALUES: usize = 1000;

/// Values of one array in a query string: what takes requests on the way has room for as many tags.
pub const MAX_QUERY_VALUES: usize = 32;

/// Bytes of a request's first line and headers together that API Gateway takes.
const GATEWAY_HEAD_BYTES: usize = 10_240;

/// Contacts that one call names.
pub const MAX_NAMED_CONTACTS: usize = 1000;

/// Faults that are named of one request. Each takes less than 1 KB of the answer.
pub const MAX_FAULTS: usize = 20;

/// Bytes of a tag after trimming and folding, so that a tag fits a key with room to spare.
pub const MAX_TAG_BYTES: usize = 255;

/// Bytes of `filterValue`.
pub const MAX_FILTER_VALUE_BYTES: usize = 1024;

/// Shards of a portal.
pub const MAX_SHARDS: u16 = 64;

/// Bytes of a portal's identifier.
pub const MAX_PORTAL_BYTES: usize = 63;

/// Characters of a token: at least 256 bits in hexadecimal have 64, tokens that are brought along at least 32.
pub const MIN_TOKEN_CHARS: usize = 32;

/// Characters of a token at most: an `Authorization` header passes through every proxy.
pub const MAX_TOKEN_CHARS: usize = 512;

/// Bytes of an e-mail address: what SMTP can carry in a path (RFC 5321, 4.5.3.1.3, and erratum 1690 of RFC 3696).
pub const MAX_EMAIL_BYTES: usize = 254;

/// Bytes of what is shown of a user. A contact that shows its managers, before a change and after it, fits an answer.
pub const MAX_EMPLOYEE_BYTES: usize = 1024;

const _: () = assert!(2 * MAX_LIST_VALUES * MAX_EMPLOYEE_BYTES < MAX_ANSWER_BYTES);

/// Characters of a password that is chosen.
pub const MIN_PASSWORD_CHARS: usize = 8;

/// Bytes of a password.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// Portals that one e-mail address signs in to; of more, the first by name.
pub const MAX_ACCOUNTS: usize = 8;

/// Attempts to sign in as one user from one network, within the window, after which it is locked.
pub const SIGN_IN_ATTEMPTS: usize = 5;

/// Attempts to sign in as one user from all networks together that the user is not known to use, within
/// [`USER_WINDOW_MILLIS`]. A guesser with a network of its own for each attempt makes 2,880 guesses a day.
pub const USER_SIGN_IN_ATTEMPTS: u64 = 30;

/// Milliseconds of the windows in which the attempts of all networks are counted. They follow one another, and each
/// begins at nothing.
pub const USER_WINDOW_MILLIS: u64 = 15 * 60 * 1000;

/// Days for which a network stays known that a user signed in from.
pub const KNOWN_NETWORK_DAYS: i64 = 30;

/// Sign-ins that a process works on or lets wait. With two at a time and some 50 ms each, the last one waits for about a
/// second; a further one is told to come again.
pub const MAX_SIGN_INS: usize = 32;

/// Passwords that are compared at once, each in memory of its own.
pub const PASSWORDS_AT_ONCE: usize = 2;

/// Milliseconds that a sign-in waits for its password to be compared, before it is told to come again.
pub const SIGN_IN_WAIT_MILLIS: u64 = 3_000;

/// Seconds after which a sign-in that found too many others may come again.
pub const SIGN_IN_RETRY_SECONDS: u64 = 2;

/// Milliseconds for which an attempt to sign in is counted.
pub const SIGN_IN_WINDOW_MILLIS: u64 = 60_000;

/// Milliseconds for which too many attempts to sign in lock their user and network address.
pub const SIGN_IN_LOCK_MILLIS: u64 = 60_000;
/// Days that the token of who signed in is good for.
pub const SIGN_IN_DAYS: i64 = 7;

/// Milliseconds after its start at which a synchronous run stops taking up work; API Gateway ends a call at 30 s.
pub const SYNCHRONOUS_RUN_MILLIS: u64 = 25_000;

/// Milliseconds in which a run, once it takes up no more work, must have finished what it is at.
pub const RUN_GRACE_MILLIS: u64 = 3_000;

/// Milliseconds that a function keeps for its answer after the run has stopped.
pub const ANSWER_RESERVE_MILLIS: u64 = 5_000;

/// Milliseconds for which a worker that is not heard of keeps its shard.
pub const LEASE_MILLIS: u64 = 45_000;

/// Milliseconds that a lease must last for anything to be written under it: what is on its way by then arrives within
/// them.
pub const LEASE_MARGIN_MILLIS: u64 = 10_000;

/// Milliseconds after which no access record is written on account of a posting, and every read sees it. Postings are
/// compacted only after them.
pub const POSTING_SETTLED_MILLIS: u64 = 3 * 60_000;

/// Milliseconds by which an import dates its postings ahead: its machine's clock may be slow by the five minutes that
/// AWS tolerates, and its writes may be throttled for long.
pub const IMPORT_AHEAD_MILLIS: u64 = 15 * 60_000;

/// Milliseconds of these after which an import posts again what it has not written yet.
pub const IMPORT_WRITE_MILLIS: u64 = 2 * 60_000;

/// Entries of a manager's postings that may be stale or repeated beside as many as are its own, before they are compacted.
pub const WASTED_ENTRIES: usize = 100;

/// Contacts in the postings of one manager that one compaction reads.
pub const MAX_COMPACTED_CONTACTS: usize = 250_000;

/// Contacts in a posting that a compaction writes, so that it fits DynamoDB's 400 KB.
pub const MAX_PACKED_CONTACTS: usize = 50_000;

/// Managers whose postings one sweep compacts.
pub const COMPACTIONS_PER_SWEEP: usize = 10;

/// Milliseconds for which a process does not ask again to compact the postings of a manager.
pub const COMPACTION_PAUSE_MILLIS: u64 = 10 * 60_000;

/// Milliseconds that a list waits at most for its request to compact postings to be recorded.
pub const COMPACTION_REQUEST_MILLIS: u64 = 200;

/// Milliseconds after which a worker that found nothing to write renews its lease.
pub const RENEW_MILLIS: u64 = 10_000;

/// Milliseconds for which a message is trusted to be delivered, before what it asks for is asked for again.
pub const MESSAGE_DEADLINE_MILLIS: u64 = 10 * 60 * 1000;

/// Milliseconds after which work that the table refused is asked for again, if its message does not come back before.
pub const RETRY_MILLIS: u64 = 60_000;

/// Attempts at the same work without progress, after which it is given up: claims of a shard, looks after an open job,
/// deliveries of a message within a process.
pub const MAX_TRIES: u32 = 10;

/// Jobs of one user that are not over.
pub const MAX_OPEN_JOBS: usize = 50;

/// Seconds after which a user who has as many open jobs as there may be should ask again.
pub const OPEN_JOBS_RETRY_SECONDS: u64 = 30;

/// Open jobs of one portal, in each of their lists, that one sweep looks after.
pub const LOOKS_PER_PORTAL: usize = 100;

/// Milliseconds that a bulk worker keeps for what it is at when it stops taking up work.
pub const WORKER_RESERVE_MILLIS: u64 = 15_000;

/// Standing rules of one user.
pub const MAX_RULES_OF_USER: usize = 50;

/// Standing rules of one portal.
pub const MAX_RULES_OF_PORTAL: usize = 500;

/// Milliseconds between the minute in which a rule ran and its next due time; earlier due times are skipped.
pub const RULE_SPACING_MILLIS: u64 = 5 * 60 * 1000;

/// Milliseconds after which the rules of a portal are checked for lost due entries again.
pub const RULE_CHECK_MILLIS: u64 = 10 * 60 * 1000;

/// Milliseconds that the start of one rule may take. A slow portal must not keep the others waiting.
pub const RULE_START_MILLIS: u64 = 10_000;

/// Hours for which an idempotency key stands for the call that it was first sent with.
pub const IDEMPOTENCY_HOURS: i64 = 24;

/// Connections that `serve` answers at the same time. With the engine's files they stay below the 1,024 open files that a
/// process usually may have.
pub const MAX_CONNECTIONS: usize = 512;

/// Connections over the limit that `serve` answers with an error at the same time. It closes further ones at once.
pub const MAX_REFUSALS: usize = 64;

/// Milliseconds that `serve` gives a connection over the limit to send its request and read the error.
pub const SERVER_REFUSAL_MILLIS: u64 = 2_000;

/// Milliseconds that `serve` waits for the head of a request, also on a connection that idles.
pub const SERVER_HEAD_MILLIS: u64 = 10_000;

/// Milliseconds that `serve` waits for the body of a request.
pub const SERVER_BODY_MILLIS: u64 = 20_000;

/// Milliseconds for which a client may take nothing of an answer of `serve`.
pub const SERVER_STALL_MILLIS: u64 = 20_000;

/// Bytes of a request's head that `serve` reads.
pub const SERVER_HEAD_BYTES: usize = 64 * 1024;

/// Milliseconds after a signal to end within which the process is gone.
pub const SHUTDOWN_MILLIS: u64 = 5_000;

/// Milliseconds after a signal to end for which calls and workers are waited for.
pub const DRAIN_MILLIS: u64 = 4_000;

/// Bytes of a log line.
pub const MAX_LOG_LINE_BYTES: usize = 8 * 1024;

/// Milliseconds before its start from which on a run reads the journal of moves.
pub const MOVES_BEFORE_MILLIS: u64 = 5 * 60_000;

/// Milliseconds after a journal entry in which an import may still send a write that the entry announces. The import
/// makes another entry for the writes that are left.
pub const MOVE_WRITE_MILLIS: u64 = 60_000;

/// Milliseconds that a write takes at most from its sending to its effect, its repetitions by the SDK included.
pub const WRITE_ARRIVAL_MILLIS: u64 = 30_000;

/// Milliseconds by which an index is taken to lag behind the table at most.
pub const INDEX_LAG_MILLIS: u64 = 60_000;

/// Milliseconds by which the clocks of an import and of the functions are taken to differ at most.
pub const CLOCK_SKEW_MILLIS: u64 = 120_000;

/// Hours for which the journal of moves is kept. A run that takes longer is not known to have met every contact.
pub const MOVES_KEPT_HOURS: i64 = 24;

/// A number of milliseconds as a duration.
pub const fn duration(millis: u64) -> SignedDuration {
    SignedDuration::from_millis(millis.cast_signed())
}

// Whoever posts has written, or lost its lease or its call, long before the posting is settled.
const _: () = assert!(2 * LEASE_MILLIS <= POSTING_SETTLED_MILLIS);
const _: () = assert!(2 * (SYNCHRONOUS_RUN_MILLIS + ANSWER_RESERVE_MILLIS) <= POSTING_SETTLED_MILLIS);
const _: () = assert!(5 * 60_000 + IMPORT_WRITE_MILLIS <= IMPORT_AHEAD_MILLIS);
// A worker that renews in time has the better part of its lease to write a page in.
const _: () = assert!(RENEW_MILLIS + LEASE_MARGIN_MILLIS < LEASE_MILLIS / 2);
// A move of which a run reads no journal entry is in the indexes by the time the run starts.
const _: () =
    assert!(MOVE_WRITE_MILLIS + WRITE_ARRIVAL_MILLIS + INDEX_LAG_MILLIS + CLOCK_SKEW_MILLIS <= MOVES_BEFORE_MILLIS);
// When a lock ends, the attempts that led to it count no more; otherwise the next one would lock at once.
const _: () = assert!(SIGN_IN_WINDOW_MILLIS <= SIGN_IN_LOCK_MILLIS);
// What one network is refused by is reached first.
const _: () = assert!(USER_SIGN_IN_ATTEMPTS > SIGN_IN_ATTEMPTS as u64);
// The one call that holds leases and renews none of them before its first page is over before they end.
const _: () = assert!(SYNCHRONOUS_RUN_MILLIS < LEASE_MILLIS - LEASE_MARGIN_MILLIS);

// A user alone cannot use up the rules of a portal.
const _: () = assert!(MAX_RULES_OF_USER < MAX_RULES_OF_PORTAL);

// A query of the longest tags leaves room for the path and the headers.
const _: () = assert!(MAX_QUERY_VALUES * ("tags=&".len() + MAX_TAG_BYTES) < GATEWAY_HEAD_BYTES - 1024);

// Who names contacts gets all of them on the one page of the answer.
const _: () = assert!(MAX_NAMED_CONTACTS <= MAX_PAGE);
const _: () = assert!(SYNCHRONOUS_RUN_MILLIS + ANSWER_RESERVE_MILLIS <= 30_000);
const _: () = assert!(RUN_GRACE_MILLIS < ANSWER_RESERVE_MILLIS);
// A run that the end of the server interrupts writes its page before it is cut off.
const _: () = assert!(RUN_GRACE_MILLIS < DRAIN_MILLIS && DRAIN_MILLIS < SHUTDOWN_MILLIS);
// What API Gateway takes, `serve` takes too.
const _: () = assert!(GATEWAY_HEAD_BYTES < SERVER_HEAD_BYTES);
// The headers have what is left.
const _: () = assert!(2 * MAX_ANSWER_BYTES + 64 * 1024 <= LAMBDA_ANSWER_BYTES);

/// Percent by which the progress of a job moves for callers who are not administrators: finer steps would hint at contacts
/// that are hidden from them.
pub const USER_PERCENT_STEP: u8 = 5;
