//! The steps of a job, recognised by their calls to the table.

use store::keys::Key;
use tests::faults::{Call, Calls, Fault, FaultPlan, Operation};

/// The step of a job that a call performs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Writes the open-job entry.
    Open,
    /// Writes the job record.
    Record,
    /// Marks the job as started.
    Start,
    /// Claims the lease of a shard.
    Claim,
    /// Writes a chunk.
    Chunk,
    /// Writes the postings of a chunk's contacts.
    Post,
    /// Writes access records in a batch, each on condition that it is unchanged.
    Batch,
    /// Removes the contacts from the chunk whose records others changed meanwhile.
    Void,
    /// Records the progress of a shard.
    Progress,
    /// Records that a shard is counted.
    Counted,
    /// Records that a shard is finished.
    End,
    /// Releases the lease of a shard.
    Release,
    /// Records that the job is cancelled.
    Cancel,
    /// Records in a shard that the job is cancelled.
    CancelShard,
    /// Records how the job ended.
    Finish,
    /// Deletes the open-job entry.
    Close,
}

pub(crate) fn step(call: &Call) -> Option<Step> {
    let (pk, sk) = call.keys().into_iter().next()?;
    let update = call.body["UpdateExpression"].as_str().unwrap_or_default();
    Some(match (call.operation, Key::decode(&pk, &sk)?) {
        (Operation::TransactWriteItems, Key::OpenJob(..)) => Step::Open,
        (Operation::BatchExecuteStatement, Key::Access(..)) => Step::Batch,
        (Operation::BatchWriteItem, Key::Posting(..)) => Step::Post,
        (Operation::PutItem, Key::Job(..)) => Step::Record,
        (Operation::PutItem, Key::Chunk(..)) => Step::Chunk,
        (Operation::UpdateItem, Key::Chunk(..)) => Step::Void,
        (Operation::UpdateItem, Key::JobShard(..)) if update.contains("ADD") => Step::Claim,
        (Operation::UpdateItem, Key::JobShard(..)) if update.contains("#counted") => Step::Counted,
        (Operation::UpdateItem, Key::JobShard(..)) if update.contains("#done") => Step::End,
        (Operation::UpdateItem, Key::JobShard(..)) if update.contains("#progress") => Step::Progress,
        (Operation::UpdateItem, Key::JobShard(..)) if update.contains("#cancelled") => Step::CancelShard,
        (Operation::UpdateItem, Key::JobShard(..)) => Step::Release,
        (Operation::UpdateItem, Key::Job(..)) if update.contains("#started") => Step::Start,
        // A job that changed contacts ends in a transaction with the counters of its day.
        (Operation::TransactWriteItems, Key::Job(..)) => Step::Finish,
        (Operation::UpdateItem, Key::Job(..)) if update.contains(":job") => Step::Finish,
        (Operation::UpdateItem, Key::Job(..)) => Step::Cancel,
        (Operation::DeleteItem, Key::OpenJob(..)) => Step::Close,
        _ => return None,
    })
}

/// Selects the calls that perform a step.
pub(crate) fn calls_of(expected: Step) -> Calls {
    Calls::matching(move |call| step(call) == Some(expected))
}

/// Returns the plan in which the `which`th call (from 1) of a step meets a fault.
pub(crate) fn at(expected: Step, which: u64, fault: Fault) -> FaultPlan {
    calls_of(expected).nth(which).meet(fault)
}

/// Returns the contacts whose access records a call writes.
pub(crate) fn written_by(call: &Call) -> Vec<i32> {
    if !call.writes() {
        return Vec::new();
    }
    let keys = call.keys().into_iter().filter_map(|(pk, sk)| Key::decode(&pk, &sk));
    keys.filter_map(|key| if let Key::Access(_, contact) = key { Some(contact.get()) } else { None }).collect()
}

/// Refuses every write of the records of contacts that match `is`.
pub(crate) fn refusing(is: fn(i32) -> bool) -> FaultPlan {
    Calls::matching(move |call| written_by(call).into_iter().any(is)).meet(Fault::Refuse)
}
