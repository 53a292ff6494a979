//! The effect of a previewed run on users: which users would start or stop seeing contacts, and how many contacts.
//!
//! Most changes make a private contact public or a public contact private, and then concern nearly every user. The sums
//! therefore hold a number for all users together, and a correction for each user that a manager list names. A contact
//! costs as much as its manager lists, whatever the number of users.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::access::Access;
use crate::limits::MAX_AFFECTED_USERS;
use crate::values::id::UserId;

/// The users of a portal's directory who are not administrators. Administrators see every contact before and after a
/// run.
pub type OrdinaryUsers = HashSet<UserId>;

/// The effect of a finished preview on the users who are not administrators.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Effect {
    /// The users who would start seeing contacts.
    pub gains: AffectedUsers,
    /// The users who would stop seeing contacts.
    pub loses: AffectedUsers,
    /// Number of contacts that at least one user would stop seeing.
    pub loses_any: u64,
    /// Number of contacts that are not private and would be private.
    pub become_private: u64,
    /// Number of contacts that are private and would not be private.
    pub become_shared: u64,
}

/// The users who would start or stop seeing contacts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AffectedUsers {
    /// Number of these users.
    pub users: u64,
    /// Number of contacts that the user of the preview would start or stop seeing.
    pub caller: u64,
    /// The users with the most contacts, at most [`MAX_AFFECTED_USERS`], with their numbers of contacts.
    pub largest: Vec<(UserId, u64)>,
}

/// The sums over a part of a preview's changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectSum {
    gains: UserSum,
    loses: UserSum,
    loses_any: u64,
    become_private: u64,
    become_shared: u64,
}

/// Numbers of contacts by user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct UserSum {
    /// Contacts that count for every user.
    everybody: u64,
    /// The difference between a user's number and `everybody`, for the users that manager lists name.
    corrections: HashMap<UserId, i64>,
}

impl UserSum {
    fn correct(&mut self, user: UserId, by: i64) {
        *self.corrections.entry(user).or_default() += by;
    }

    fn merge(&mut self, other: Self) {
        self.everybody += other.everybody;
        other.corrections.into_iter().for_each(|(user, by)| self.correct(user, by));
    }

    fn of(&self, user: UserId) -> u64 {
        let correction = self.corrections.get(&user).copied().unwrap_or_default();
        self.everybody.saturating_add_signed(correction)
    }

    fn affected(&self, users: &OrdinaryUsers, caller: UserId) -> AffectedUsers {
        let mut largest: Vec<(UserId, u64)> =
            users.iter().map(|&user| (user, self.of(user))).filter(|(_, contacts)| *contacts > 0).collect();
        largest.sort_unstable_by_key(|&(user, contacts)| (Reverse(contacts), user));
        let count = largest.len() as u64;
        largest.truncate(MAX_AFFECTED_USERS);
        let caller = if users.contains(&caller) { self.of(caller) } else { 0 };
        AffectedUsers { users: count, caller, largest }
    }
}

impl EffectSum {
    /// Adds a contact whose access a run would change. `users` are the users who are not administrators.
    ///
    /// A user who is no administrator sees a contact that is not private or whose manager list names the user, by
    /// [`Caller::may_see`](crate::access::Caller::may_see).
    pub fn add(&mut self, before: &Access, after: &Access, users: &OrdinaryUsers) {
        let managers = |access: &Access| -> HashSet<UserId> {
            access.managers.iter().filter(|user| users.contains(user)).copied().collect()
        };
        match (before.share.is_private(), after.share.is_private()) {
            (false, false) => {}
            (true, false) => {
                self.become_shared += 1;
                self.gains.everybody += 1;
                managers(before).into_iter().for_each(|user| self.gains.correct(user, -1));
            }
            (false, true) => {
                let keep = managers(after);
                self.become_private += 1;
                self.loses.everybody += 1;
                self.loses_any += u64::from(keep.len() < users.len());
                keep.into_iter().for_each(|user| self.loses.correct(user, -1));
            }
            (true, true) => {
                let (saw, sees) = (managers(before), managers(after));
                self.loses_any += u64::from(!saw.is_subset(&sees));
                sees.difference(&saw).for_each(|user| self.gains.correct(*user, 1));
                saw.difference(&sees).for_each(|user| self.loses.correct(*user, 1));
            }
        }
    }

    /// Adds the sums over another part of the changes.
    pub fn merge(&mut self, other: Self) {
        let Self { gains, loses, loses_any, become_private, become_shared } = other;
        self.gains.merge(gains);
        self.loses.merge(loses);
        self.loses_any += loses_any;
        self.become_private += become_private;
        self.become_shared += become_shared;
    }

    /// Returns the effect on `users`, who are not administrators, for the user of the preview.
    pub fn effect(&self, users: &OrdinaryUsers, caller: UserId) -> Effect {
        Effect {
            gains: self.gains.affected(users, caller),
            loses: self.loses.affected(users, caller),
            loses_any: self.loses_any,
            become_private: self.become_private,
            become_shared: self.become_shared,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::access::{Caller, ShareType};

    const USERS: u128 = 6;

    fn access() -> impl Strategy<Value = Access> {
        // Lists may name a manager twice, an administrator, and a user who was removed.
        let managers = prop::collection::vec((0..USERS + 2).prop_map(UserId::from_u128), 0..8);
        (prop::sample::select(ShareType::ALL.to_vec()), managers)
            .prop_map(|(share, managers)| Access { share, managers })
    }

    /// Returns the effect by asking for each user and change whether the user sees the contact.
    fn by_user(changes: &[(Access, Access)], users: &OrdinaryUsers, caller: UserId) -> Effect {
        let sees = |user: UserId, access: &Access| Caller { user, is_admin: false }.may_see(access);
        let count = |is_counted: &dyn Fn(UserId, &Access, &Access) -> bool| {
            let numbers: BTreeMap<UserId, u64> = users
                .iter()
                .map(|&user| {
                    let counted = changes.iter().filter(|(before, after)| is_counted(user, before, after));
                    (user, counted.count() as u64)
                })
                .filter(|(_, contacts)| *contacts > 0)
                .collect();
            let mut largest: Vec<(UserId, u64)> = numbers.clone().into_iter().collect();
            largest.sort_by_key(|(_, contacts)| Reverse(*contacts));
            largest.truncate(MAX_AFFECTED_USERS);
            let caller = numbers.get(&caller).copied().unwrap_or_default();
            AffectedUsers { users: numbers.len() as u64, caller, largest }
        };
        let loses = |user, before: &Access, after: &Access| sees(user, before) && !sees(user, after);
        let loses_any = changes.iter().filter(|(before, after)| users.iter().any(|user| loses(*user, before, after)));
        let private = |access: &Access| access.share.is_private();
        let become_private = changes.iter().filter(|(before, after)| !private(before) && private(after));
        let become_shared = changes.iter().filter(|(before, after)| private(before) && !private(after));
        Effect {
            gains: count(&|user, before, after| !sees(user, before) && sees(user, after)),
            loses: count(&loses),
            loses_any: loses_any.count() as u64,
            become_private: become_private.count() as u64,
            become_shared: become_shared.count() as u64,
        }
    }

    proptest! {
        #[test]
        fn sums_equal_a_count_of_each_user_and_contact(
            shards in prop::collection::vec(prop::collection::vec((access(), access()), 0..12), 0..4),
            ordinary in prop::collection::hash_set((0..USERS).prop_map(UserId::from_u128), 0..6),
            caller in (0..USERS).prop_map(UserId::from_u128),
        ) {
            let mut merged = EffectSum::default();
            for shard in &shards {
                let mut sum = EffectSum::default();
                shard.iter().for_each(|(before, after)| sum.add(before, after, &ordinary));
                let stored = postcard::to_stdvec(&sum).unwrap();
                prop_assert_eq!(&postcard::from_bytes::<EffectSum>(&stored).unwrap(), &sum);
                merged.merge(sum);
            }
            prop_assert_eq!(merged.effect(&ordinary, caller), by_user(&shards.concat(), &ordinary, caller));
        }
    }

    #[test]
    fn effect_lists_the_hundred_users_with_the_most_contacts() {
        let users: OrdinaryUsers = (0..250).map(UserId::from_u128).collect();
        let private = |managers: Vec<UserId>| Access { share: ShareType::None, managers };
        let mut sum = EffectSum::default();
        for hidden_from in 0..250 {
            let managers = (0..hidden_from).map(UserId::from_u128).collect();
            sum.add(&Access::UNRECORDED, &private(managers), &users);
        }
        let loses = sum.effect(&users, UserId::from_u128(7)).loses;
        assert_eq!((loses.users, loses.caller, loses.largest.len()), (250, 8, MAX_AFFECTED_USERS));
        assert_eq!(loses.largest[..2], [(UserId::from_u128(249), 250), (UserId::from_u128(248), 249)]);
        assert_eq!(loses.largest[99], (UserId::from_u128(150), 151));
    }
}
