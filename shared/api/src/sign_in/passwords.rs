//! Comparison of passwords, with bounds on concurrency, memory and waiting sign-ins.
//!
//! A comparison uses 19 MiB by design. A process compares [`PASSWORDS_AT_ONCE`] passwords concurrently, each in reused
//! memory, and admits at most [`MAX_SIGN_INS`] sign-ins, running or waiting, so its memory is bounded for any number of
//! attempts. An imported hash may need up to 64 MiB. Such a hash is compared while no other comparison runs, and its
//! memory is freed afterwards.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use models::limits::{MAX_SIGN_INS, PASSWORDS_AT_ONCE, SIGN_IN_WAIT_MILLIS};
use models::sign_in::password::{MEMORY_KIB, Memory};
use models::sign_in::{Candidate, Candidates};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::failure::Failure;

/// The sign-ins of a process.
#[derive(Debug)]
pub struct Passwords {
    sign_ins: Semaphore,
    comparisons: Arc<Semaphore>,
    memories: Arc<Memories>,
    /// The timeout of a sign-in that waits for a comparison.
    wait: Duration,
}

/// Unused memory blocks, at most one for each concurrent comparison.
#[derive(Debug, Default)]
struct Memories(Mutex<Vec<Memory>>);

impl Memories {
    fn free(&self) -> MutexGuard<'_, Vec<Memory>> {
        // A panicked comparison leaves no invalid state, because the next comparison overwrites the memory.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A permit among the concurrent sign-ins of a process.
#[derive(Debug)]
pub struct Permit<'a> {
    of: &'a Passwords,
    _permit: SemaphorePermit<'a>,
}

/// The share of a process's memory that a comparison needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    /// One reused memory block.
    One,
    /// The memory of all comparisons: an imported hash may need more than one reused block.
    All,
}

impl Share {
    fn of(candidates: &Candidates) -> Self {
        if candidates.memory_kib() <= MEMORY_KIB { Self::One } else { Self::All }
    }

    fn permits(self) -> u32 {
        match self {
            Self::One => 1,
            // The constant is far below `u32::MAX`.
            Self::All => u32::try_from(PASSWORDS_AT_ONCE).unwrap_or(u32::MAX),
        }
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            sign_ins: Semaphore::new(MAX_SIGN_INS),
            comparisons: Arc::new(Semaphore::new(PASSWORDS_AT_ONCE)),
            memories: Arc::default(),
            wait: Duration::from_millis(SIGN_IN_WAIT_MILLIS),
        }
    }
}

impl Passwords {
    /// Acquires the permit for a sign-in, before its attempt is counted or anything is read.
    ///
    /// # Errors
    ///
    /// [`Failure::SignInBusy`] when the maximum number of sign-ins is in progress.
    pub fn enter(&self) -> Result<Permit<'_>, Failure> {
        match self.sign_ins.try_acquire() {
            Ok(permit) => Ok(Permit { of: self, _permit: permit }),
            Err(_) => Err(Failure::SignInBusy),
        }
    }
}

impl Permit<'_> {
    /// Returns the candidates that have the password. The comparison runs on a blocking thread.
    ///
    /// # Errors
    ///
    /// [`Failure::SignInBusy`] when other comparisons take too long. The password is then not compared.
    pub async fn matching(&self, candidates: Candidates, password: String) -> Result<Vec<Candidate>, Failure> {
        let share = Share::of(&candidates);
        let permits = self.of.comparisons.clone().acquire_many_owned(share.permits());
        let permit = match timeout(self.of.wait, permits).await {
            Ok(permit) => permit.map_err(|error| Failure::Internal(error.to_string()))?,
            Err(_) => return Err(Failure::SignInBusy),
        };
        let memories = self.of.memories.clone();
        // The closure owns the permit: a client that disconnects ends the call, but not the comparison.
        let compare = move || {
            let _permit = permit;
            let mut memory = match share {
                Share::One => memories.free().pop().unwrap_or_default(),
                Share::All => {
                    memories.free().clear();
                    Memory::new()
                }
            };
            let found = candidates.matching(&password, &mut memory).into_iter().cloned().collect();
            if share == Share::One {
                memories.free().push(memory);
            }
            found
        };
        spawn_blocking(compare).await.map_err(|error| Failure::Internal(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use models::sign_in::Account;
    use models::sign_in::password::PasswordHash;
    use models::values::id::UserId;

    use super::*;

    /// Returns a candidate whose hash needs this much memory and matches no password.
    fn candidates(kib: u32) -> Candidates {
        let hash: PasswordHash =
            format!("$argon2id$v=19$m={kib},t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo").parse().unwrap();
        let account = Account { portal: "acme".parse().unwrap(), user: UserId::NIL };
        Candidates::new([Candidate { account, hash, tokens_valid_from: None }])
    }

    #[tokio::test]
    async fn many_comparisons_use_the_memory_of_two() {
        let passwords = Passwords::default();
        let costs = [64, MEMORY_KIB, MEMORY_KIB + 1024, 8, MEMORY_KIB];
        let compare = costs.iter().cycle().take(MAX_SIGN_INS).map(|kib| async {
            let permit = passwords.enter().unwrap();
            assert_eq!(permit.matching(candidates(*kib), "some password".into()).await.unwrap(), []);
        });
        join_all(compare).await;
        let reused: Vec<usize> = passwords.memories.free().iter().map(Memory::kib).collect();
        assert!((1..=PASSWORDS_AT_ONCE).contains(&reused.len()), "{reused:?}");
        assert!(reused.iter().all(|kib| *kib <= MEMORY_KIB as usize), "{reused:?}");
    }

    #[tokio::test]
    async fn sign_in_beyond_the_maximum_is_refused_as_busy() {
        let passwords = Passwords::default();
        let mut permits: Vec<Permit<'_>> = (0..MAX_SIGN_INS).map(|_| passwords.enter().unwrap()).collect();
        assert!(matches!(passwords.enter(), Err(Failure::SignInBusy)));
        permits.pop();
        assert!(passwords.enter().is_ok());
    }

    #[tokio::test]
    async fn sign_in_that_waits_too_long_is_refused_as_busy() {
        let passwords = Passwords { wait: Duration::ZERO, ..Passwords::default() };
        let permit = passwords.enter().unwrap();
        let compare = || permit.matching(candidates(8), "some password".into());
        let all = passwords.comparisons.clone().acquire_many_owned(Share::All.permits()).await.unwrap();
        assert!(matches!(compare().await, Err(Failure::SignInBusy)));
        drop(all);
        assert_eq!(compare().await.unwrap(), []);
    }
}
