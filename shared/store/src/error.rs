//! What can go wrong between here and the table.

use std::error::Error;
use std::fmt;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

/// A failed call to DynamoDB or to the operating system's randomness, or an item that does not read back.
///
/// It answers what a caller needs to know; its text is for the log, never for a client.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// DynamoDB asked to slow down, and went on doing so until the attempts were used up.
    #[error("{operation}: throttled")]
    Throttled {
        /// The DynamoDB operation.
        operation: &'static str,
        /// What was answered last, where there was an answer.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// A condition did not hold: someone else wrote first.
    #[error("{operation}: the condition did not hold")]
    ConditionFailed {
        /// The DynamoDB operation.
        operation: &'static str,
    },
    /// Someone's transaction was writing the same item.
    #[error("{operation}: met a transaction")]
    Contended {
        /// The DynamoDB operation.
        operation: &'static str,
    },
    /// No answer came.
    #[error("{operation}: no answer")]
    Unavailable {
        /// The DynamoDB operation.
        operation: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// DynamoDB refused the call.
    #[error("{operation}: refused")]
    Refused {
        /// The DynamoDB operation.
        operation: &'static str,
        /// Its reason.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes")]
    Random(#[source] getrandom::Error),
    /// An item does not read back to what it should be.
    #[error("an item does not read back: {0}")]
    Corrupt(String),
}

/// An error of DynamoDB's, without its message.
#[derive(Debug, thiserror::Error)]
#[error("{code}, request {}", .request_id.as_deref().unwrap_or("unknown"))]
struct Fault {
    code: String,
    request_id: Option<String>,
}

impl StoreError {
    /// Whether the same call may succeed a little later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Unavailable { .. } | Self::Contended { .. })
    }

    /// Whether DynamoDB asked to slow down.
    pub fn is_throttled(&self) -> bool {
        matches!(self, Self::Throttled { .. })
    }

    /// Whether someone's transaction was writing the same item.
    pub fn is_contended(&self) -> bool {
        matches!(self, Self::Contended { .. })
    }

    /// Whether a condition did not hold.
    pub fn is_condition_failed(&self) -> bool {
        matches!(self, Self::ConditionFailed { .. })
    }

    /// Reads an SDK error.
    pub(crate) fn from_sdk<E, R>(operation: &'static str, error: SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        R: fmt::Debug + Send + Sync + 'static,
    {
        const THROTTLES: [&str; 5] = [
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "ThrottlingException",
            "ThrottlingError",
            "LimitExceededException",
        ];
        match &error {
            SdkError::ServiceError(service) => {
                let code = service.err().code().unwrap_or_default();
                if THROTTLES.contains(&code) {
                    return Self::Throttled { operation, source: Some(Box::new(error)) };
                }
                if code == "ConditionalCheckFailedException" {
                    return Self::ConditionFailed { operation };
                }
                if code == "TransactionConflictException" {
                    return Self::Contended { operation };
                }
                // What DynamoDB itself calls its own fault passes like an outage.
                if matches!(code, "InternalServerError" | "ServiceUnavailable" | "TransactionInProgressException") {
                    return Self::Unavailable { operation, source: Box::new(error) };
                }
                // Their messages quote the request: keys, tags and names, which belong into no log.
                if matches!(code, "ValidationException" | "SerializationException") {
                    let request_id = service.err().meta().extra("aws_request_id").map(ToOwned::to_owned);
                    return Self::Refused { operation, source: Box::new(Fault { code: code.to_owned(), request_id }) };
                }
                Self::Refused { operation, source: Box::new(error) }
            }
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => {
                Self::Unavailable { operation, source: Box::new(error) }
            }
            _ => Self::Refused { operation, source: Box::new(error) },
        }
    }
}
