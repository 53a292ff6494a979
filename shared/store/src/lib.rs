//! Access to the DynamoDB table of crm-access: keys, items, execution of plans, batches.
//!
//! Every function states its cost in read and write units. One read unit is an eventually consistent read of up to 8 KB
//! or a consistent read of up to 4 KB. One write unit is a write of up to 1 KB; a write in a transaction costs two.

pub mod codes;
pub mod compaction;
pub mod contacts;
pub mod directory;
pub mod dynamodb;
pub mod error;
pub mod idempotency;
pub mod import;
pub mod index;
pub mod inflate;
pub mod jobs;
pub mod keys;
pub mod listing;
pub mod meter;
pub mod moves;
pub mod planner;
pub mod postings;
pub mod reshard;
pub mod rules;
pub mod schema;
pub mod sign_in;
pub mod table;
pub mod tokens;

use std::sync::Arc;

pub use dynamodb::client::Store;
pub use error::StoreError;
use models::values::timestamp::Timestamp;

/// A source of the current time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
