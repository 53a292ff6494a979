//! All bounds of the service, with their units. Assertions tie related bounds together.

use jiff::SignedDuration;

/// Maximum bytes of a request body.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Maximum bytes of a function's response to Lambda.
const LAMBDA_ANSWER_BYTES: usize = 6 * 1024 * 1024;

/// Maximum bytes of an answer's body. Lambda receives a JSON string, in which quotes and backslashes take two bytes.
pub const MAX_ANSWER_BYTES: usize = 2816 * 1024;

/// Maximum bytes of an answer in its stored form before compression: two bodies, the headers and the list of contacts.
/// Every answer that fits Lambda's limit fits this bound.
pub const MAX_STORED_ANSWER_BYTES: usize = 2 * LAMBDA_ANSWER_BYTES + 64 * 1024;

/// Maximum contacts on a page of an answer, and the default.
pub const MAX_PAGE: usize = 1000;

/// Maximum `startIndex` of a list of jobs. A list reads all jobs before this index. Later pages start at a job instead.
pub const MAX_JOBS_START_INDEX: usize = 10_000;

/// Maximum values in one array of a request: managers, tags, stages or types.
pub const MAX_LIST_VALUES: usize = 1000;

/// Maximum managers of a contact.
pub const MAX_MANAGERS: usize = MAX_LIST_VALUES;

/// Maximum values of one array in a query string: API Gateway has room for this many of the longest tags.
pub const MAX_QUERY_VALUES: usize = 32;

/// Maximum bytes of a request's first line and headers in API Gateway.
const GATEWAY_HEAD_BYTES: usize = 10_240;

/// Maximum contacts that one call names.
pub const MAX_NAMED_CONTACTS: usize = 1000;

/// Maximum faults reported for one request. Each takes less than 1 KB of the answer.
pub const MAX_FAULTS: usize = 20;

/// Maximum bytes of a trimmed and folded tag, which is part of a key.
pub const MAX_TAG_BYTES: usize = 255;

/// Maximum bytes of `filterValue`.
pub const MAX_FILTER_VALUE_BYTES: usize = 1024;

/// Maximum `startIndex` of a list of contacts. Contact numbers are int32, so no portal has more contacts.
pub const MAX_START_INDEX: u64 = i32::MAX.unsigned_abs() as u64;

/// Maximum `maxAffected`. Contact numbers are int32, so no portal has more contacts.
pub const MAX_AFFECTED: u64 = i32::MAX.unsigned_abs() as u64;

/// Default `count` of a list of jobs.
pub const DEFAULT_JOBS: usize = 25;

/// Maximum jobs that one page of a filtered list examines. Such a page may be short.
pub const MAX_EXAMINED_JOBS: usize = 1000;

/// Number of days in a list of daily counts.
pub const COUNTED_DAYS: i64 = 90;

/// Days for which the counter of a day is stored.
pub const COUNTERS_KEPT_DAYS: i64 = 100;

/// Counters of one day of a portal or of a user, for jobs of several contacts. Jobs that end concurrently mostly write
/// different counters. A list of days reads them all.
pub const COUNTERS_PER_DAY: u8 = 32;

/// Hours after the end of a day after which no single change can be added to that day: a repeated call has the
/// identifier of its first attempt, which is at most [`IDEMPOTENCY_HOURS`] old.
pub const DAY_SETTLES_HOURS: i64 = IDEMPOTENCY_HOURS + 1;

/// Maximum tags that a snapshot counts: those with the most contacts. The job's record names the tags.
pub const MAX_SNAPSHOT_TAGS: usize = 1000;

/// Maximum milliseconds from the time of a call until the call makes the identifier of its job.
pub const JOB_ID_LEAD_MILLIS: u64 = 60_000;

/// Default number of changes in the history of a contact.
pub const DEFAULT_HISTORY: usize = 10;

/// Maximum number of changes in the history of a contact. Each change takes two reads, one after the other.
pub const MAX_HISTORY: usize = 100;

/// Maximum changes of a contact that a history or a list of the contact's jobs follows.
pub const MAX_FOLLOWED_CHANGES: usize = 250;

/// Default number of runs that a schedule shows.
pub const DEFAULT_RUNS: usize = 5;

/// Maximum number of runs that a schedule shows.
pub const MAX_RUNS: usize = 100;

/// Maximum brackets after a name in a form: two, as in `filter[tags][]`.
pub const MAX_FORM_DEPTH: usize = 2;

/// Maximum bytes of an idempotency key.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;

/// Maximum characters of the note of a job or a rule.
pub const MAX_NOTE_CHARS: usize = 200;

/// Maximum characters of a rule's name.
pub const MAX_RULE_NAME_CHARS: usize = 64;

/// Maximum bytes of a stored rule's name, which is part of a key. Earlier versions may have stored longer names.
pub const MAX_STORED_RULE_NAME_BYTES: usize = 255;

/// Maximum bytes of a cron expression: enough for a list of all 60 minutes, three times over.
pub const MAX_CRON_BYTES: usize = 512;

/// Maximum shards of a portal.
pub const MAX_SHARDS: u16 = 64;

/// Maximum bytes of a portal's identifier.
pub const MAX_PORTAL_BYTES: usize = 63;

/// Minimum characters of an imported token. Tokens of this service have 64: 256 bits in hexadecimal.
pub const MIN_TOKEN_CHARS: usize = 32;

/// Maximum characters of a token, so that the `Authorization` header passes through every proxy.
pub const MAX_TOKEN_CHARS: usize = 512;

/// Maximum bytes of an e-mail address: the limit of an SMTP path (RFC 5321, 4.5.3.1.3, and erratum 1690 of RFC 3696).
pub const MAX_EMAIL_BYTES: usize = 254;

/// Maximum bytes of a user's shown fields. A contact with its managers before and after a change must fit an answer.
pub const MAX_EMPLOYEE_BYTES: usize = 1024;

const _: () = assert!(2 * MAX_LIST_VALUES * MAX_EMPLOYEE_BYTES < MAX_ANSWER_BYTES);

/// Minimum characters of a new password.
pub const MIN_PASSWORD_CHARS: usize = 8;

/// Maximum bytes of a password.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// Maximum portals that one e-mail address can sign in to. Portals beyond this number, by name, are ignored.
pub const MAX_ACCOUNTS: usize = 8;

/// Attempts to sign in as one user from one network within [`SIGN_IN_WINDOW_MILLIS`], after which this pair is locked.
pub const SIGN_IN_ATTEMPTS: usize = 5;

/// Maximum attempts to sign in as one user from all unknown networks together, within [`USER_WINDOW_MILLIS`]. An
/// attacker with a new network for each attempt can make 2,880 guesses a day.
pub const USER_SIGN_IN_ATTEMPTS: u64 = 30;

/// Milliseconds of a window in which the attempts of all networks are counted. Windows are consecutive, and each starts
/// at zero.
pub const USER_WINDOW_MILLIS: u64 = 15 * 60 * 1000;

/// Days for which a network stays known after a user signed in from it.
pub const KNOWN_NETWORK_DAYS: i64 = 30;

/// Maximum sign-ins in a process, running or waiting. With two concurrent password comparisons of about 50 ms each,
/// the last sign-in waits about a second. Further sign-ins are refused as busy.
pub const MAX_SIGN_INS: usize = 32;

/// Maximum concurrent password comparisons, each in its own memory.
pub const PASSWORDS_AT_ONCE: usize = 2;

/// Milliseconds that a sign-in waits for its password comparison. Then the service refuses the sign-in as busy.
pub const SIGN_IN_WAIT_MILLIS: u64 = 3_000;

/// Seconds in the `Retry-After` header of a sign-in refused as busy.
pub const SIGN_IN_RETRY_SECONDS: u64 = 2;

/// Milliseconds for which a sign-in attempt is counted.
pub const SIGN_IN_WINDOW_MILLIS: u64 = 60_000;

/// Milliseconds for which too many sign-in attempts lock their pair of user and network address.
pub const SIGN_IN_LOCK_MILLIS: u64 = 60_000;

/// Days for which the token of a sign-in is valid.
pub const SIGN_IN_DAYS: i64 = 7;

/// Milliseconds for which a sign-in code is valid.
pub const SIGN_IN_CODE_MILLIS: u64 = 10 * 60_000;

/// Milliseconds after which a synchronous run starts no new work; API Gateway ends a call at 30 s.
pub const SYNCHRONOUS_RUN_MILLIS: u64 = 25_000;

/// Milliseconds after its deadline for a run to finish its current work.
pub const RUN_GRACE_MILLIS: u64 = 3_000;

/// Milliseconds that a function reserves for its answer after the run.
pub const ANSWER_RESERVE_MILLIS: u64 = 5_000;

/// Milliseconds of a shard's lease, from its last renewal.
pub const LEASE_MILLIS: u64 = 45_000;

/// Minimum milliseconds left of a lease when a worker sends a write, so that the write arrives before the lease ends.
pub const LEASE_MARGIN_MILLIS: u64 = 10_000;

/// Milliseconds after which a posting is settled: no further access record that relies on the posting is written, and
/// every read sees the posting. Only settled postings are compacted.
pub const POSTING_SETTLED_MILLIS: u64 = 3 * 60_000;

/// Milliseconds that an import adds to the current time for the timestamps of its postings. The clock of the importing
/// machine may be slow by the five minutes that AWS tolerates, and throttling may delay the writes.
pub const IMPORT_AHEAD_MILLIS: u64 = 15 * 60_000;

/// Maximum milliseconds between an import's write of postings and its start of writing a batch of their contacts. If
/// more time has passed, the import first writes the postings again.
pub const IMPORT_WRITE_MILLIS: u64 = 2 * 60_000;

/// A manager's postings need a compaction if they have more than this number of entries, plus twice the number of the
/// manager's contacts.
pub const WASTED_ENTRIES: usize = 100;

/// Maximum contacts in one manager's postings that one compaction reads.
pub const MAX_COMPACTED_CONTACTS: usize = 250_000;

/// Maximum contacts in a posting that a compaction writes, so that the item fits DynamoDB's 400 KB.
pub const MAX_PACKED_CONTACTS: usize = 50_000;

/// Maximum managers whose postings one sweep compacts.
pub const COMPACTIONS_PER_SWEEP: usize = 10;

/// Milliseconds before a process requests another compaction of the same manager's postings.
pub const COMPACTION_PAUSE_MILLIS: u64 = 10 * 60_000;

/// Maximum milliseconds that a list waits to record a compaction request.
pub const COMPACTION_REQUEST_MILLIS: u64 = 200;

/// Maximum milliseconds in which the postings and the access records of a chunk are written. Another claim of the shard
/// writes the remaining records.
pub const CHUNK_WRITE_MILLIS: u64 = 60_000;

/// Milliseconds after which a worker without writes renews its lease.
pub const RENEW_MILLIS: u64 = 10_000;

/// Milliseconds allowed for the delivery of a message, before its work is requested again.
pub const MESSAGE_DEADLINE_MILLIS: u64 = 10 * 60 * 1000;

/// Milliseconds from a table error until the failed work is requested again, unless its message is redelivered
/// earlier.
pub const RETRY_MILLIS: u64 = 60_000;

/// Attempts without progress after which work is given up: claims of a shard, sweeps of an open job, deliveries of a
/// message within a process.
pub const MAX_TRIES: u32 = 10;

/// Maximum open jobs of one user.
pub const MAX_OPEN_JOBS: usize = 50;

/// Seconds in the `Retry-After` header for a user who has reached [`MAX_OPEN_JOBS`] or [`MAX_PREVIEWS`].
pub const OPEN_JOBS_RETRY_SECONDS: u64 = 30;

/// Maximum previews of one user. A further preview removes the user's oldest finished preview.
pub const MAX_PREVIEWS: usize = 10;

/// Hours for which a preview can be shown and applied.
pub const PREVIEW_HOURS: i64 = 24;

/// Hours for which a mark stands in place of a removed contact's access record. A job that read the contact before the
/// removal sends its write within the seconds of a lease. A job that was interrupted reads the contact again.
pub const REMOVED_MARK_HOURS: i64 = 24;

/// Milliseconds before the end of the marks of removed contacts, from which the run of a preview no longer relies on
/// these marks: the time of a write, and the difference of two clocks.
pub const REMOVED_MARK_MARGIN_MILLIS: u64 = 60 * 60_000;

/// Maximum users whose numbers of gained, or of lost, contacts a preview shows.
pub const MAX_AFFECTED_USERS: usize = 100;

/// Maximum bytes of a stored sum over the changes of a preview's shard, so that the item fits DynamoDB's 400 KB. The
/// sum has about 22 bytes for each user that a manager list names.
pub const MAX_EFFECT_BYTES: usize = 350 * 1024;

/// Seconds in the `Retry-After` header for a run by filter while the portal is re-sharded.
pub const RESHARDING_RETRY_SECONDS: u64 = 60;

/// Milliseconds after the start of a re-sharding. By then, calls and imports that read the portal before have ended,
/// and no run reads their journal entries any more.
pub const RESHARD_SETTLE_MILLIS: u64 = MOVES_BEFORE_MILLIS;

/// Milliseconds from the last move of a re-sharding until the indexes have the move.
pub const RESHARD_LAG_MILLIS: u64 = WRITE_ARRIVAL_MILLIS + INDEX_LAG_MILLIS;

/// Maximum open jobs of one portal, in each bucket of open jobs, that one sweep checks.
pub const CHECKS_PER_PORTAL: usize = 100;

/// Milliseconds that a bulk worker reserves to finish its current work before Lambda ends the function.
pub const WORKER_RESERVE_MILLIS: u64 = 15_000;

/// Maximum standing rules of one user.
pub const MAX_RULES_OF_USER: usize = 50;

/// Maximum standing rules of one portal.
pub const MAX_RULES_OF_PORTAL: usize = 500;

/// Minimum milliseconds between the minute in which a rule ran and its next due time; earlier due times are skipped.
pub const RULE_SPACING_MILLIS: u64 = 5 * 60 * 1000;

/// Milliseconds between two checks of a portal's rules for lost due entries.
pub const RULE_CHECK_MILLIS: u64 = 10 * 60 * 1000;

/// Maximum milliseconds to start one rule, so that a slow portal does not delay the others.
pub const RULE_START_MILLIS: u64 = 10_000;

/// Hours for which an idempotency key identifies its first call.
pub const IDEMPOTENCY_HOURS: i64 = 24;

/// Milliseconds after which a call without an answer is known to be interrupted.
pub const ANSWERED_MILLIS: u64 = SYNCHRONOUS_RUN_MILLIS + ANSWER_RESERVE_MILLIS;

/// Maximum concurrent connections of `serve`. Together with the engine's files, they stay below the usual limit of
/// 1,024 open files per process.
pub const MAX_CONNECTIONS: usize = 512;

/// Maximum concurrent connections over the limit that `serve` answers with an error. `serve` closes further
/// connections at once.
pub const MAX_REFUSALS: usize = 64;

/// Milliseconds that `serve` gives a connection over the limit to send its request and read the error.
pub const SERVER_REFUSAL_MILLIS: u64 = 2_000;

/// Milliseconds that `serve` waits for the head of a request, also on an idle connection.
pub const SERVER_HEAD_MILLIS: u64 = 10_000;

/// Milliseconds that `serve` waits for the body of a request.
pub const SERVER_BODY_MILLIS: u64 = 20_000;

/// Maximum milliseconds without progress while a client reads an answer of `serve`.
pub const SERVER_STALL_MILLIS: u64 = 20_000;

/// Maximum bytes of a request's head that `serve` reads.
pub const SERVER_HEAD_BYTES: usize = 64 * 1024;

/// Milliseconds after a termination signal within which the process exits.
pub const SHUTDOWN_MILLIS: u64 = 5_000;

/// Milliseconds after a termination signal within which calls and workers must finish.
pub const DRAIN_MILLIS: u64 = 4_000;

/// Maximum bytes of a log line.
pub const MAX_LOG_LINE_BYTES: usize = 8 * 1024;

/// Milliseconds between the earliest journal entry that a run reads and the run's start.
pub const MOVES_BEFORE_MILLIS: u64 = 5 * 60_000;

/// Milliseconds after a journal entry within which an import may send the writes that the entry announces. The import
/// makes another entry for the remaining writes.
pub const MOVE_WRITE_MILLIS: u64 = 60_000;

/// Maximum milliseconds from the sending of a write to its effect, including the SDK's retries.
pub const WRITE_ARRIVAL_MILLIS: u64 = 30_000;

/// Assumed maximum milliseconds from a write to the table until an index has the write.
pub const INDEX_LAG_MILLIS: u64 = 60_000;

/// Assumed maximum milliseconds by which the clocks of an import and of the functions differ.
pub const CLOCK_SKEW_MILLIS: u64 = 120_000;

/// Hours for which the journal of moves is stored. A longer run may miss contacts that moved.
pub const MOVE_RETENTION_HOURS: i64 = 24;

/// Converts milliseconds to a duration.
pub const fn duration(millis: u64) -> SignedDuration {
    SignedDuration::from_millis(millis.cast_signed())
}

// A function of at most a minute, such as run-rules, ends before a re-sharding moves index entries, and so does a batch
// of an import.
const _: () = assert!(60_000 + MOVE_WRITE_MILLIS + WRITE_ARRIVAL_MILLIS <= RESHARD_SETTLE_MILLIS);
// Long before a posting is settled, its writer has written the access records, or its writer's lease or call has
// ended.
const _: () = assert!(2 * (CHUNK_WRITE_MILLIS + WRITE_ARRIVAL_MILLIS) <= POSTING_SETTLED_MILLIS);
const _: () = assert!(2 * LEASE_MILLIS <= POSTING_SETTLED_MILLIS);
const _: () = assert!(2 * (SYNCHRONOUS_RUN_MILLIS + ANSWER_RESERVE_MILLIS) <= POSTING_SETTLED_MILLIS);
const _: () = assert!(5 * 60_000 + IMPORT_WRITE_MILLIS <= IMPORT_AHEAD_MILLIS);
// A worker that renews in time has more than half of its lease left to write a page.
const _: () = assert!(RENEW_MILLIS + LEASE_MARGIN_MILLIS < LEASE_MILLIS / 2);
// If a journal entry is too old for a run to read, the indexes have the move when the run starts.
const _: () =
    assert!(MOVE_WRITE_MILLIS + WRITE_ARRIVAL_MILLIS + INDEX_LAG_MILLIS + CLOCK_SKEW_MILLIS <= MOVES_BEFORE_MILLIS);
// When a lock ends, the attempts that caused the lock have expired; otherwise the next attempt would lock again.
const _: () = assert!(SIGN_IN_WINDOW_MILLIS <= SIGN_IN_LOCK_MILLIS);
// One network reaches its own limit before the limit of all networks.
const _: () = assert!(USER_SIGN_IN_ATTEMPTS > SIGN_IN_ATTEMPTS as u64);
// A synchronous run, which renews no lease before its first page, ends before its leases do.
const _: () = assert!(SYNCHRONOUS_RUN_MILLIS < LEASE_MILLIS - LEASE_MARGIN_MILLIS);

// A run reads the marks of removed contacts until its writes have arrived.
const _: () = assert!(CHUNK_WRITE_MILLIS + WRITE_ARRIVAL_MILLIS + 2 * CLOCK_SKEW_MILLIS < REMOVED_MARK_MARGIN_MILLIS);
// A user whose previews all run has room for other jobs.
const _: () = assert!(MAX_PREVIEWS < MAX_OPEN_JOBS);

// One user alone cannot use up the rules of a portal.
const _: () = assert!(MAX_RULES_OF_USER < MAX_RULES_OF_PORTAL);

// A query of the longest tags leaves room for the path and the headers.
const _: () = assert!(MAX_QUERY_VALUES * ("tags=&".len() + MAX_TAG_BYTES) < GATEWAY_HEAD_BYTES - 1024);

// All contacts that a call names fit one page of the answer.
const _: () = assert!(MAX_NAMED_CONTACTS <= MAX_PAGE);
// A new rule's name can be stored.
const _: () = assert!(MAX_RULE_NAME_CHARS <= MAX_STORED_RULE_NAME_BYTES);
const _: () = assert!(DEFAULT_JOBS <= MAX_PAGE);
const _: () = assert!(DEFAULT_HISTORY <= MAX_HISTORY && MAX_HISTORY <= MAX_FOLLOWED_CHANGES);
const _: () = assert!(COUNTED_DAYS < COUNTERS_KEPT_DAYS);
// A call makes the identifier of its job within the hour that `DAY_SETTLES_HOURS` adds to `IDEMPOTENCY_HOURS`.
const _: () = assert!(JOB_ID_LEAD_MILLIS < 3_600_000);
// The record of a snapshot's job, and its result, fit an item of 400 KB.
const _: () = assert!(MAX_SNAPSHOT_TAGS * (MAX_TAG_BYTES + 100) < 400 * 1024);
const _: () = assert!(DEFAULT_RUNS <= MAX_RUNS && MAX_RUNS <= MAX_PAGE);
const _: () = assert!(SYNCHRONOUS_RUN_MILLIS + ANSWER_RESERVE_MILLIS <= 30_000);
const _: () = assert!(RUN_GRACE_MILLIS < ANSWER_RESERVE_MILLIS);
// A run that the server's shutdown interrupts can write its page before the cut-off.
const _: () = assert!(RUN_GRACE_MILLIS < DRAIN_MILLIS && DRAIN_MILLIS < SHUTDOWN_MILLIS);
// `serve` accepts every request head that API Gateway accepts.
const _: () = assert!(GATEWAY_HEAD_BYTES < SERVER_HEAD_BYTES);
// At least 64 KB remain for the headers.
const _: () = assert!(2 * MAX_ANSWER_BYTES + 64 * 1024 <= LAMBDA_ANSWER_BYTES);

/// Steps in percent of a job's progress for callers who are not administrators. Finer steps would hint at contacts that
/// are hidden from them.
pub const USER_PERCENT_STEP: u8 = 5;
