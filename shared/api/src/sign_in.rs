//! Checks of a sign-in: the origin of the page, and the password.

pub(crate) mod origin;
pub mod passwords;
