//! AWS services of the job engine: the queue in SQS, and the bus in EventBridge.

pub mod event_bridge;
pub mod sqs;
