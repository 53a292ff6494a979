//! Signing in: by which address, into which accounts, and how often it may be tried.

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
use crate::values::moment::{Moment, STEPS_PER_SECOND};

/// An e-mail address, which users sign in with. Case does not matter, so it is kept folded.
///
/// It holds no `#`, which is what lets keys be joined with one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Email(String);

/// Why a text is no e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an e-mail address of at most {MAX_EMAIL_BYTES} bytes, with one @ and without spaces or #, such as \
     mike@example.com"
)]
pub struct NotAnEmail;

impl Email {
    /// An address as it is stored. An earlier version may have admitted what a user may no longer be given, and the user
    /// must stay readable.
    pub fn stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The address, folded.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Email {
    type Err = NotAnEmail;

    fn from_str(text: &str) -> Result<Self, NotAnEmail> {
        // Looked at after folding, which turns some characters into spaces.
        let text = fold(text);
        let is_out_of_place = |c: char| c.is_whitespace() || c.is_control() || c == '#';
        let is_one = text
            .split_once('@')
            .is_some_and(|(name, domain)| !name.is_empty() && !domain.is_empty() && !domain.contains('@'));
        if is_one && text.len() <= MAX_EMAIL_BYTES && !text.contains(is_out_of_place) {
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

/// A user of a portal, as one who can sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The portal.
    pub portal: PortalId,
    /// The user.
    pub user: UserId,
}

/// The network that a call comes from, as attempts are counted by it: an IPv4 address, or the first half of an IPv6
/// address, because a provider gives a customer at least all addresses with the same first half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Network {
    /// An IPv4 address, also where it was written as an IPv6 address.
    V4(Ipv4Addr),
    /// The first 64 bits of an IPv6 address.
    V6(u64),
    /// No address is known.
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

/// An account that a sign-in may be meant for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The account.
    pub account: Account,
    /// The hash of its password.
    pub hash: PasswordHash,
    /// From when on tokens of its user are valid, as read together with the hash.
    pub tokens_valid_from: Option<Moment>,
}

/// The accounts of an address: at most one for each portal, and none where the address is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates(Vec<Candidate>);

impl Candidates {
    /// These accounts.
    pub fn new(accounts: impl IntoIterator<Item = Candidate>) -> Self {
        Self(accounts.into_iter().collect())
    }

    /// KiB of memory that [`Self::matching`] takes: the most that one hash does.
    pub fn memory_kib(&self) -> u32 {
        self.0.iter().map(|candidate| candidate.hash.memory_kib()).max().unwrap_or(MEMORY_KIB)
    }

    /// The accounts that `attempt` is the password of, in the order of their portals. More than one when somebody has the
    /// same password in several: only its owner gets to know of that.
    ///
    /// Without any account the hash of nobody is verified, so that an address which is unknown, has no password or is that
    /// of one portal takes the same time: one verification of tens of milliseconds, or as many as there are portals. A
    /// hash that was brought along with other parameters takes another time.
    pub fn matching(&self, attempt: &str, memory: &mut Memory) -> Vec<&Candidate> {
        if self.0.is_empty() {
            // What nobody looks at may be left out when this is compiled.
            std::hint::black_box(PasswordHash::of_nobody().verify(attempt, memory));
        }
        self.0.iter().filter(|candidate| candidate.hash.verify(attempt, memory)).collect()
    }
}

/// The attempts to sign in that a pair of network and user name has made of late, the oldest first.
///
/// An attempt is counted when it begins, before its password is looked at, and all are forgotten when one succeeds. So
/// those that are counted have failed or are not over, and guesses made side by side are counted like any others. The one
/// that makes [`SIGN_IN_ATTEMPTS`] within [`SIGN_IN_WINDOW_MILLIS`] is the last one for [`SIGN_IN_LOCK_MILLIS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempts(Vec<Moment>);

/// Why an attempt is not made: the pair is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts to sign in; the next one is possible in {} s", whole_seconds(.wait))]
pub struct Locked {
    /// How long it stays locked; more than nothing.
    pub wait: SignedDuration,
}

impl Locked {
    /// Seconds after which it is open again, as `Retry-After` says it.
    pub fn seconds(&self) -> i64 {
        whole_seconds(&self.wait)
    }
}

/// Whole seconds that are not over before `wait` is.
fn whole_seconds(wait: &SignedDuration) -> i64 {
    wait.as_secs() + i64::from(wait.subsec_nanos() > 0)
}

const WINDOW: SignedDuration = duration(SIGN_IN_WINDOW_MILLIS);
const LOCK: SignedDuration = duration(SIGN_IN_LOCK_MILLIS);

impl Attempts {
    /// Attempts that were made at these times, the oldest first; only the last [`SIGN_IN_ATTEMPTS`] of them count.
    pub fn made_at(times: impl IntoIterator<Item = Moment>) -> Self {
        let mut times: Vec<Moment> = times.into_iter().collect();
        times.drain(..times.len().saturating_sub(SIGN_IN_ATTEMPTS));
        Self(times)
    }

    /// When they were made, the oldest first.
    pub fn times(&self) -> &[Moment] {
        &self.0
    }

    /// What they are with one more, made at `now`.
    ///
    /// # Errors
    ///
    /// That the pair is locked. An attempt that is refused is not counted, and makes no lock longer.
    pub fn begin(&self, now: Moment) -> Result<Self, Locked> {
        if let [.., last] = self.0[..]
            && self.0.len() >= SIGN_IN_ATTEMPTS
            && now < last + LOCK
        {
            return Err(Locked { wait: (last + LOCK).since(now) });
        }
        // Clocks differ: what another one has recorded a little later than now was made before now all the same.
        let now = self.0.last().map_or(now, |last| now.max(*last));
        let recent = self.0.iter().copied().filter(|time| now.since(*time) < WINDOW);
        Ok(Self(recent.chain([now]).collect()))
    }

    /// What they are without the one that was made at `time`, whose password was not looked at.
    #[must_use]
    pub fn without(&self, time: Moment) -> Self {
        let mut times = self.0.clone();
        if let Some(place) = times.iter().rposition(|made| *made == time) {
            times.remove(place);
        }
        Self(times)
    }

    /// From when on they make no difference.
    pub fn over_at(&self) -> Moment {
        self.0.last().map_or(Moment::MIN, |last| *last + LOCK.max(WINDOW))
    }
}

/// A stretch of time in which the attempts to sign in as one user are counted, whatever network they come from.
///
/// A user who signed in from a network of late is not counted there, so that nobody keeps the user out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserWindow(i64);

/// Steps of a [`Moment`] in a window.
const USER_WINDOW_STEPS: i64 = USER_WINDOW_MILLIS.cast_signed() * (STEPS_PER_SECOND / 1000);

impl UserWindow {
    /// The window that `now` is in.
    pub fn at(now: Moment) -> Self {
        Self(now.steps().div_euclid(USER_WINDOW_STEPS))
    }

    /// The window's number, which no other one has.
    pub fn number(self) -> i64 {
        self.0
    }

    /// When the window ends and the next one begins.
    pub fn end(self) -> Moment {
        Moment::from_steps((self.0 + 1) * USER_WINDOW_STEPS)
    }

    /// Whether an attempt at `now` may be made that is the `counted`th of the window.
    ///
    /// # Errors
    ///
    /// That the user is locked until the window ends, for all networks that are not known to be the user's.
    pub fn admit(self, counted: u64, now: Moment) -> Result<(), Locked> {
        if counted <= USER_SIGN_IN_ATTEMPTS { Ok(()) } else { Err(Locked { wait: self.end().since(now) }) }
    }
}
