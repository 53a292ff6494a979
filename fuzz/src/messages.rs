//! Properties of messages to callers and operators.

use std::error::Error;

use models::invalid::Invalid;
use models::limits::MAX_FAULTS;

/// Maximum bytes of a fault, as the documentation of [`MAX_FAULTS`] states.
const MAX_FAULT_BYTES: usize = 1024;

/// Number of faults of a request whose messages are searched for internals.
const SEARCHED_FAULTS: usize = 2;

/// Words of the code, of its libraries and of Rust's debug output. A message has none, unless the message quotes them.
const INTERNALS: &[&str] = &[
    "models::",
    "core::",
    "std::",
    ".rs",
    "serde",
    "croner",
    "jiff",
    "postcard",
    "Some(",
    "Err(",
    "Ok(",
    "panick",
    "unwrap",
    "RawContact",
    "RawUser",
    "RawPortal",
    "RawToken",
    "RawDelete",
    "struct ",
    "visitor",
    "tuple",
    "newtype",
    "enum ",
    "i32",
    "i64",
    "u16",
    "u32",
];

/// Checks the faults of a request.
pub(crate) fn check_faults(invalid: &Invalid, input: &[u8]) {
    let faults = &invalid.faults;
    assert!((1..=MAX_FAULTS + 1).contains(&faults.len()), "{} faults", faults.len());
    for fault in faults {
        let bytes = fault.field.len() + fault.message.len();
        assert!(bytes <= MAX_FAULT_BYTES, "a fault of {bytes} bytes: {fault:?}");
        assert!(!fault.message.is_empty());
    }
    // The search takes more time than the reading, so only the first messages are searched.
    for fault in faults.iter().take(SEARCHED_FAULTS) {
        check_no_internals(&fault.message, input);
    }
}

/// Checks one message, which may be at most `max_bytes` long.
pub(crate) fn check_message(message: &str, max_bytes: usize, input: &[u8]) {
    assert!(!message.is_empty());
    assert!(message.len() <= max_bytes, "a message of {} bytes: {message}", message.len());
    check_no_internals(message, input);
}

/// Checks an error and its causes.
pub(crate) fn check_error(error: &dyn Error, max_bytes: usize) {
    let mut next = Some(error);
    while let Some(error) = next {
        let message = error.to_string();
        assert!(!message.is_empty() && message.len() <= max_bytes, "{message}");
        next = error.source();
    }
}

fn check_no_internals(message: &str, input: &[u8]) {
    for internal in INTERNALS {
        if message.contains(internal) {
            let is_quoted = String::from_utf8_lossy(input).contains(internal);
            // A quoted text may also be escaped in the input.
            let is_escaped = input.iter().any(|byte| matches!(byte, b'\\' | b'%'));
            assert!(is_quoted || is_escaped, "{internal:?} is in the message: {message}");
        }
    }
}
