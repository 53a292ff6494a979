//! Errors of calls to the table.

use std::error::Error;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

/// A failed call to DynamoDB or to the operating system's random source, a request that cannot be built, or an item
/// that cannot be decoded.
///
/// The methods classify the error for callers. The text is for the log, never for a client.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// DynamoDB throttled the call until the attempts were exhausted.
    #[error("{operation}: throttled")]
    Throttled {
        /// The DynamoDB operation.
        operation: &'static str,
        /// The last error, if the SDK returned one.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// A condition did not hold: another writer was first.
    #[error("{operation}: the condition did not hold")]
    ConditionFailed {
        /// The DynamoDB operation.
        operation: &'static str,
    },
    /// Another transaction was writing the same item.
    #[error("{operation}: another transaction was writing the same item")]
    Contended {
        /// The DynamoDB operation.
        operation: &'static str,
    },
    /// DynamoDB did not respond, or reported a fault of its own.
    #[error("{operation}: DynamoDB did not respond, or reported a fault")]
    Unavailable {
        /// The DynamoDB operation.
        operation: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// DynamoDB rejected the call.
    #[error("{operation}: DynamoDB rejected the call")]
    Refused {
        /// The DynamoDB operation.
        operation: &'static str,
        /// The reason.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random(#[source] getrandom::Error),
    /// A request or a stored value cannot be built.
    #[error("{what} cannot be built")]
    Unbuildable {
        /// The part of the request that cannot be built.
        what: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// An item cannot be decoded, or was not requested.
    #[error(transparent)]
    Corrupt(Corruption),
}

/// The reason why an item cannot be decoded.
#[derive(Debug, thiserror::Error)]
#[error("an item cannot be decoded: {reason}")]
pub struct Corruption {
    reason: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Corruption {
    /// Returns a reason with its cause. The cause must not quote stored values, because the log shows it.
    pub(crate) fn caused_by(reason: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self { reason: reason.into(), source: Some(Box::new(source)) }
    }
}

impl From<&str> for Corruption {
    fn from(reason: &str) -> Self {
        Self { reason: reason.to_owned(), source: None }
    }
}

impl From<String> for Corruption {
    fn from(reason: String) -> Self {
        Self { reason, source: None }
    }
}

/// A DynamoDB error without its message.
#[derive(Debug, thiserror::Error)]
#[error("{code}, request {}", .request_id.as_deref().unwrap_or("unknown"))]
struct Fault {
    code: String,
    request_id: Option<String>,
}

impl StoreError {
    /// Returns whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Unavailable { .. } | Self::Contended { .. })
    }

    /// Returns whether DynamoDB throttled the call.
    pub fn is_throttled(&self) -> bool {
        matches!(self, Self::Throttled { .. })
    }

    /// Returns whether another transaction was writing the same item.
    pub fn is_contended(&self) -> bool {
        matches!(self, Self::Contended { .. })
    }

    /// Returns whether DynamoDB found the request itself to be wrong.
    pub(crate) fn is_validation(&self) -> bool {
        let Self::Refused { source, .. } = self else { return false };
        source.downcast_ref::<Fault>().is_some_and(|fault| fault.code == "ValidationException")
    }

    /// Returns whether a condition did not hold.
    pub fn is_condition_failed(&self) -> bool {
        matches!(self, Self::ConditionFailed { .. })
    }

    /// Returns the error of a statement that DynamoDB rejected with `code`. The message is left out, because the
    /// message quotes the statement.
    pub(crate) fn refused(operation: &'static str, code: &str) -> Self {
        Self::Refused { operation, source: Box::new(Fault { code: code.to_owned(), request_id: None }) }
    }

    /// Returns the error of a request part that its builder refused.
    pub(crate) fn unbuildable(what: &'static str, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Unbuildable { what, source: Box::new(source) }
    }

    /// Returns the error of an item whose decoder failed. The cause must not quote stored values.
    pub(crate) fn corrupt(reason: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Corrupt(Corruption::caused_by(reason, source))
    }

    /// Converts an SDK error.
    pub(crate) fn from_sdk<E>(operation: &'static str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
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
                // A fault reported by DynamoDB itself, or by a server in front of DynamoDB, is transient, like an
                // outage.
                if service.raw().status().is_server_error()
                    || matches!(code, "InternalServerError" | "ServiceUnavailable" | "TransactionInProgressException")
                {
                    return Self::Unavailable { operation, source: Box::new(error) };
                }
                // The messages of these errors quote the request. Its keys, tags and names must not be logged.
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
