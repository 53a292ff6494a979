//! Sign-in: e-mail addresses, the accounts of an address, and limits on attempts.

pub mod password;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use jiff::SignedDuration;
use serde::Serialize;

use crate::limits::{
    MAX_EMAIL_BYTES, SIGN_IN_ATTEMPTS, SIGN_IN_LOCK_MILLIS, SIGN_IN_WINDOW_MILLIS, USER_SIGN_IN_ATTEMPTS,
    USER_WINDOW_MILLIS, duration,
};
use crate::sign_in::password::{MEMORY_KIB, Memory, PasswordHash};
use crate::values::fold::fold;
use crate::values::id::{PortalId, UserId};
use crate::values::timestamp::{TICKS_PER_SECOND, Timestamp};

/// An e-mail address with which users sign in. It is stored folded, so case does not matter.
///
/// An address contains no `#`, the separator of key parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Email(String);

/// Error: a text is not an e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an e-mail address of at most {MAX_EMAIL_BYTES} bytes, with one @ and without spaces or #, such as \
     mike@example.com"
)]
pub struct NotAnEmail;

impl Email {
    /// Wraps a stored address without validation. An earlier version may have accepted addresses that are invalid
    /// today, and their users must stay readable.
    pub fn stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the address, folded.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Email {
    type Err = NotAnEmail;

    fn from_str(text: &str) -> Result<Self, NotAnEmail> {
        // Check the address after folding, because folding turns some characters into spaces.
        let text = fold(text);
        let is_forbidden = |c: char| c.is_whitespace() || c.is_control() || c == '#';
        let has_two_parts = text
            .split_once('@')
            .is_some_and(|(name, domain)| !name.is_empty() && !domain.is_empty() && !domain.contains('@'));
        if has_two_parts && text.len() <= MAX_EMAIL_BYTES && !text.contains(is_forbidden) {
            Ok(Self(text))
        } else {
            Err(NotAnEmail)
        }
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A user of a portal, as an account to sign in to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The portal.
    pub portal: PortalId,
    /// The user.
    pub user: UserId,
}

/// The network of a caller, by which attempts are counted: an IPv4 address or the first half of an IPv6 address. A
/// provider assigns a customer at least all addresses with the same first half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Network {
    /// An IPv4 address, including one written as an IPv6 address.
    V4(Ipv4Addr),
    /// The first 64 bits of an IPv6 address.
    V6(u64),
    /// The address is unknown.
    Unknown,
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => address.fmt(f),
            Self::V6(prefix) => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(*prefix) << 64)),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// An account that a sign-in may refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The account.
    pub account: Account,
    /// Hash of the account's password.
    pub hash: PasswordHash,
    /// Time from which tokens of the user are valid, read together with the hash.
    pub tokens_valid_from: Option<Timestamp>,
}

/// The accounts of an address: at most one for each portal, none if the address is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates(Vec<Candidate>);

impl Candidates {
    /// Collects the accounts of an address.
    pub fn new(accounts: impl IntoIterator<Item = Candidate>) -> Self {
        Self(accounts.into_iter().collect())
    }

    /// Returns the KiB of memory that [`Self::matching`] needs: the maximum over the hashes.
    pub fn memory_kib(&self) -> u32 {
        self.0.iter().map(|candidate| candidate.hash.memory_kib()).max().unwrap_or(MEMORY_KIB)
    }

    /// Returns the accounts whose password is `attempt`, in the order of the candidates. Several accounts match only if
    /// a user has the same password in several portals, so only the owner of the password learns of the accounts.
    ///
    /// Without any account, the hash of nobody is verified. An unknown address and an address without a password
    /// therefore take as long as an address in one portal: one verification of tens of milliseconds. An address in
    /// several portals takes one verification for each portal. An imported hash with other parameters takes a different
    /// time.
    pub fn matching(&self, attempt: &str, memory: &mut Memory) -> Vec<&Candidate> {
        if self.0.is_empty() {
            // `black_box` keeps the compiler from removing the unused verification.
            std::hint::black_box(PasswordHash::of_nobody().verify(attempt, memory));
        }
        self.0.iter().filter(|candidate| candidate.hash.verify(attempt, memory)).collect()
    }
}

/// The recent attempts to sign in by one pair of network and user name, oldest first.
///
/// An attempt is counted when it begins, before its password is verified, and a success clears all attempts. Counted
/// attempts have therefore failed or are still running, and parallel guesses are counted too. After
/// [`SIGN_IN_ATTEMPTS`] within [`SIGN_IN_WINDOW_MILLIS`], the pair is locked for [`SIGN_IN_LOCK_MILLIS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempts(Vec<Timestamp>);

/// Error: the pair is locked, so no attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many sign-in attempts; the next attempt is possible in {} s", whole_seconds(.wait))]
pub struct Locked {
    /// Remaining duration of the lock; more than zero.
    pub wait: SignedDuration,
}

impl Locked {
    /// Returns the seconds until the lock ends, for `Retry-After`.
    pub fn seconds(&self) -> i64 {
        whole_seconds(&self.wait)
    }
}

/// Rounds up to whole seconds, so that the lock has ended after these seconds.
fn whole_seconds(wait: &SignedDuration) -> i64 {
    wait.as_secs() + i64::from(wait.subsec_nanos() > 0)
}

const WINDOW: SignedDuration = duration(SIGN_IN_WINDOW_MILLIS);
const LOCK: SignedDuration = duration(SIGN_IN_LOCK_MILLIS);

impl Attempts {
    /// Creates attempts from their times, oldest first. Only the last [`SIGN_IN_ATTEMPTS`] attempts remain.
    pub fn made_at(times: impl IntoIterator<Item = Timestamp>) -> Self {
        let mut times: Vec<Timestamp> = times.into_iter().collect();
        times.drain(..times.len().saturating_sub(SIGN_IN_ATTEMPTS));
        Self(times)
    }

    /// Returns the times of the attempts, oldest first.
    pub fn times(&self) -> &[Timestamp] {
        &self.0
    }

    /// Returns the attempts with a new attempt at `now`.
    ///
    /// # Errors
    ///
    /// [`Locked`] if the pair is locked. A refused attempt is not counted and does not extend the lock.
    pub fn begin(&self, now: Timestamp) -> Result<Self, Locked> {
        if let [.., last] = self.0[..]
            && self.0.len() >= SIGN_IN_ATTEMPTS
            && now < last + LOCK
        {
            return Err(Locked { wait: (last + LOCK).since(now) });
        }
        // Clocks differ, so an earlier attempt may have a time slightly after `now`.
        let now = self.0.last().map_or(now, |last| now.max(*last));
        let recent = self.0.iter().copied().filter(|time| now.since(*time) < WINDOW);
        Ok(Self(recent.chain([now]).collect()))
    }

    /// Returns the attempts without the attempt at `time`, whose password was not verified.
    #[must_use]
    pub fn without(&self, time: Timestamp) -> Self {
        let mut times = self.0.clone();
        if let Some(index) = times.iter().rposition(|made| *made == time) {
            times.remove(index);
        }
        Self(times)
    }

    /// Returns the time from which the attempts have no effect.
    pub fn over_at(&self) -> Timestamp {
        self.0.last().map_or(Timestamp::MIN, |last| *last + LOCK.max(WINDOW))
    }
}

/// A window of time in which the attempts to sign in as one user are counted across networks.
///
/// Attempts from a network from which the user recently signed in are not counted, so nobody can lock the user out of
/// that network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserWindow(i64);

/// Ticks of 100 ns in a window.
const USER_WINDOW_TICKS: i64 = USER_WINDOW_MILLIS.cast_signed() * (TICKS_PER_SECOND / 1000);

impl UserWindow {
    /// Returns the window that contains `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(now.ticks().div_euclid(USER_WINDOW_TICKS))
    }

    /// Returns the window's unique number.
    pub fn number(self) -> i64 {
        self.0
    }

    /// Returns the time at which the window ends and the next window begins.
    pub fn end(self) -> Timestamp {
        Timestamp::from_ticks((self.0 + 1) * USER_WINDOW_TICKS)
    }

    /// Admits an attempt at `now`. The window has `counted` attempts, including this attempt.
    ///
    /// # Errors
    ///
    /// [`Locked`] until the window ends, after [`USER_SIGN_IN_ATTEMPTS`]. The lock affects all networks that are not
    /// known to be the user's.
    pub fn admit(self, counted: u64, now: Timestamp) -> Result<(), Locked> {
        if counted <= USER_SIGN_IN_ATTEMPTS { Ok(()) } else { Err(Locked { wait: self.end().since(now) }) }
    }
}
