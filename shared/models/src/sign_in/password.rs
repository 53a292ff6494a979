//! Passwords, and the argon2id hashes stored in their place.
//!
//! This pure crate has no randomness, so the caller supplies the salt.

use std::fmt;
use std::str::FromStr;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Block, CustomizedPasswordHasher as _, Params, Version};

use crate::limits::{MAX_PASSWORD_BYTES, MIN_PASSWORD_CHARS};

/// KiB of memory for a hash: OWASP's minimum for argon2id with two passes.
/// <https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>
pub const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over the memory.
pub const PASSES: u32 = 2;
/// Lanes of the memory.
pub const LANES: u32 = 1;
/// Bytes of a salt.
pub const SALT_BYTES: usize = 16;
/// Bytes of a hash.
const HASH_BYTES: usize = 32;

/// Maximum KiB of memory for an imported hash: RFC 9106's recommendation for little memory. A verification at all three
/// maxima takes about a second. Without maxima it could take minutes, and more memory than a function has.
pub const MAX_MEMORY_KIB: u32 = 64 * 1024;
/// Maximum passes of an imported hash.
pub const MAX_PASSES: u32 = 10;
/// Maximum lanes of an imported hash.
pub const MAX_LANES: u32 = 4;

const PARAMS: Params = match Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES)) {
    Ok(params) => params,
    Err(_) => panic!("argon2 accepts these parameters"),
};

/// Reusable memory for verifications. Reuse is safe, because a verification writes every block before it reads the
/// block.
///
/// The vector reserves the capacity for the largest hash at once. The system allocator maps such a large block
/// separately, and returns the block to the operating system when the memory is dropped. The allocator would retain
/// smaller blocks for each thread. Reserved capacity uses no physical memory until a verification writes to it.
pub struct Memory(Vec<Block>);

impl Memory {
    /// Creates memory that has not been used.
    pub fn new() -> Self {
        Self(Vec::with_capacity(MAX_MEMORY_KIB as usize))
    }

    /// Returns the KiB in use.
    pub fn kib(&self) -> usize {
        self.0.len()
    }

    /// Returns the first `count` blocks of 1 KiB.
    fn blocks(&mut self, count: usize) -> &mut [Block] {
        if self.0.len() < count {
            self.0.resize(count, Block::new());
        }
        &mut self.0[..count]
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} KiB)", self.kib())
    }
}

/// Random bytes, new for each password, that make the hashes of equal passwords differ.
pub type Salt = [u8; SALT_BYTES];

/// A new password whose length is within bounds. `Debug` does not show the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

/// Error: a text is too short or too long for a new password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a password has at least {MIN_PASSWORD_CHARS} characters and at most {MAX_PASSWORD_BYTES} bytes")]
pub struct NotAPassword;

/// Error: a password could not be hashed.
#[derive(Debug, thiserror::Error)]
#[error("the password cannot be hashed: {0}")]
pub struct NotHashed(argon2::password_hash::Error);

impl Password {
    /// Checks the length of a new password. No character is trimmed or folded.
    ///
    /// # Errors
    ///
    /// [`NotAPassword`] if the text has too few characters or too many bytes.
    pub fn check(text: impl Into<String>) -> Result<Self, NotAPassword> {
        let text = text.into();
        let fits = text.chars().count() >= MIN_PASSWORD_CHARS && text.len() <= MAX_PASSWORD_BYTES;
        if fits { Ok(Self(text)) } else { Err(NotAPassword) }
    }

    /// Hashes the password, which takes [`MEMORY_KIB`] of memory and tens of milliseconds.
    ///
    /// # Errors
    ///
    /// [`NotHashed`] if argon2 fails, which does not occur for a password within bounds.
    pub fn hash(&self, salt: &Salt) -> Result<PasswordHash, NotHashed> {
        let hash = Argon2::default().hash_password_with_params(self.0.as_bytes(), salt, PARAMS).map_err(NotHashed)?;
        Ok(PasswordHash(hash.to_string()))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// An argon2id hash as a PHC string, `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`, with bounded parameters.
/// <https://github.com/P-H-C/phc-string-format/blob/master/phc-sf-spec.md>
///
/// Anyone with the hash can guess passwords without limit, so only [`Self::as_str`] shows the hash.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

/// Error: a text is not the hash of a password. The message does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an argon2id PHC string of version 19 with m up to {MAX_MEMORY_KIB}, t up to {MAX_PASSES} and p up to \
     {MAX_LANES}, such as `crm-access user hash` prints"
)]
pub struct NotAPasswordHash;

impl PasswordHash {
    /// Returns a hash that no password has. Sign-in verifies this hash if there is no user, so that the answer takes as
    /// long as for a user.
    pub fn of_nobody() -> Self {
        Self(OF_NOBODY.into())
    }

    /// Returns the PHC string, for the table and for import files.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the KiB of memory that a verification takes.
    pub fn memory_kib(&self) -> u32 {
        let params = phc::PasswordHash::new(&self.0).ok().and_then(|hash| Params::try_from(&hash).ok());
        params.map_or(MEMORY_KIB, |params| params.m_cost())
    }

    /// Returns whether `attempt` is the password. A verification costs as much as hashing, whatever the result.
    ///
    /// An attempt may be shorter than a new password, because the hash may be imported. An attempt longer than any
    /// password is not hashed, which reveals nothing about the user.
    pub fn verify(&self, attempt: &str, memory: &mut Memory) -> bool {
        attempt.len() <= MAX_PASSWORD_BYTES && self.matches(attempt, memory).unwrap_or(false)
    }

    /// Returns whether `attempt` has the same hash; `None` if argon2 cannot compute a hash, which does not occur for
    /// parsed hashes.
    fn matches(&self, attempt: &str, memory: &mut Memory) -> Option<bool> {
        let hash = phc::PasswordHash::new(&self.0).ok()?;
        let (salt, expected) = (hash.salt.as_ref()?, hash.hash.as_ref()?);
        let params = Params::try_from(&hash).ok()?;
        let blocks = memory.blocks(params.block_count());
        let mut output = [0; phc::Output::MAX_LENGTH];
        let output = output.get_mut(..expected.len())?;
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(attempt.as_bytes(), salt, output, blocks)
            .ok()?;
        // The comparison takes the same time wherever the two outputs differ.
        Some(phc::Output::new(output).ok()? == *expected)
    }
}

/// A PHC string with 32 zero bytes as its hash.
const OF_NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdCEhIQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

impl FromStr for PasswordHash {
    type Err = NotAPasswordHash;

    fn from_str(text: &str) -> Result<Self, NotAPasswordHash> {
        let hash = phc::PasswordHash::new(text).map_err(|_| NotAPasswordHash)?;
        let params = Params::try_from(&hash).map_err(|_| NotAPasswordHash)?;
        let has_parameter = |name| hash.params.get(name).is_some();
        let is_argon2id = hash.algorithm == Algorithm::Argon2id.ident() && hash.version == Some(Version::V0x13.into());
        let is_complete = hash.salt.is_some() && hash.hash.is_some() && ["m", "t", "p"].into_iter().all(has_parameter);
        let is_bounded =
            params.m_cost() <= MAX_MEMORY_KIB && params.t_cost() <= MAX_PASSES && params.p_cost() <= MAX_LANES;
        if is_argon2id && is_complete && is_bounded { Ok(Self(text.to_owned())) } else { Err(NotAPasswordHash) }
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}
