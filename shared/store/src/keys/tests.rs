use jiff::ToSpan as _;
use proptest::prelude::*;

use super::*;

const TICKS_PER_HOUR: i64 = 3600 * 10_000_000;

fn portal() -> impl Strategy<Value = PortalId> {
    "[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?".prop_map(|text| text.parse().unwrap())
}

fn contact() -> impl Strategy<Value = ContactId> {
    (1..=i32::MAX).prop_map(|id| i64::from(id).try_into().unwrap())
}

fn time() -> impl Strategy<Value = Timestamp> {
    (Timestamp::MIN.ticks()..=Timestamp::MAX.ticks()).prop_map(Timestamp::from_ticks)
}

fn uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn user() -> impl Strategy<Value = UserId> {
    any::<u128>().prop_map(UserId::from_u128)
}

fn job() -> impl Strategy<Value = JobId> {
    any::<u128>().prop_map(JobId::from_u128)
}

fn author() -> impl Strategy<Value = Author> {
    prop_oneof![4 => user().prop_map(Author::User), 1 => Just(Author::Operator)]
}

fn email() -> impl Strategy<Value = Email> {
    let text = "[A-Za-z0-9!$-?^-~à-ž]{1,8}@[A-Za-z0-9.-]{1,8}";
    text.prop_filter_map("no address", |text| text.parse().ok())
}

fn key() -> impl Strategy<Value = Key> {
    let rule = || "[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}".prop_map(|text| text.parse::<RuleName>().unwrap());
    prop_oneof![
        (portal(), contact()).prop_map(|(p, c)| Key::Contact(p, c)),
        (portal(), contact(), ".{1,20}").prop_map(|(p, c, t)| Key::ContactTag(p, c, t)),
        (portal(), contact()).prop_map(|(p, c)| Key::Access(p, c)),
        (portal(), 0u16..64, time(), uuid()).prop_map(|(p, s, m, u)| Key::Move(p, s, m, u)),
        (portal(), contact()).prop_map(|(p, c)| Key::Removed(p, c)),
        portal().prop_map(Key::Portal),
        (portal(), 0..=i32::MAX).prop_map(|(p, s)| Key::Stage(p, s)),
        (portal(), 0..=i32::MAX).prop_map(|(p, s)| Key::Type(p, s)),
        (portal(), user()).prop_map(|(p, u)| Key::User(p, u)),
        (portal(), ".{1,20}").prop_map(|(p, t)| Key::Tag(p, t)),
        (portal(), any::<TokenHash>()).prop_map(|(p, h)| Key::TokenEntry(p, h)),
        any::<TokenHash>().prop_map(Key::Token),
        any::<TokenHash>().prop_map(Key::SignInCode),
        (portal(), user()).prop_map(|(p, u)| Key::Password(p, u)),
        (portal(), user()).prop_map(|(p, u)| Key::RemovedUser(p, u)),
        (email(), portal()).prop_map(|(e, p)| Key::Address(e, p)),
        any::<AttemptsHash>().prop_map(Key::Attempts),
        any::<AttemptsHash>().prop_map(Key::KnownNetwork),
        any::<AttemptsHash>().prop_map(Key::UserAttempts),
        (portal(), job()).prop_map(|(p, j)| Key::Job(p, j)),
        (portal(), job(), 0u16..64).prop_map(|(p, j, s)| Key::JobShard(p, j, s)),
        (portal(), job(), 0u16..64, any::<u32>()).prop_map(|(p, j, s, n)| Key::Chunk(p, j, s, n)),
        (portal(), job(), 0u16..64).prop_map(|(p, j, s)| Key::JobEffect(p, j, s)),
        (portal(), user(), job()).prop_map(|(p, u, j)| Key::JobEntry(p, u, j)),
        (portal(), user()).prop_map(|(p, u)| Key::OpenJobsOf(p, u)),
        (portal(), user()).prop_map(|(p, u)| Key::PreviewsOf(p, u)),
        (portal(), prop::option::of(user()), -3000i32..3000, 0u8..99).prop_map(|(p, u, d, n)| Key::DayCounter(
            p,
            u,
            jiff::civil::date(2026, 1, 1).saturating_add(d.days()),
            n
        )),
        portal().prop_map(Key::Snapshot),
        (portal(), rule()).prop_map(|(p, r)| Key::Rule(p, r)),
        (portal(), job()).prop_map(|(p, j)| Key::OpenJob(p, j)),
        portal().prop_map(Key::RulePortal),
        (time(), portal(), rule()).prop_map(|(m, p, r)| Key::DueRule(m, p, r)),
        (portal(), user(), any::<PostingHash>()).prop_map(|(p, u, h)| Key::Posting(p, u, h)),
        (portal(), author(), ".{1,20}").prop_map(|(p, u, k)| Key::Idempotency(p, u, k)),
        (portal(), user(), any::<u32>(), uuid()).prop_map(|(p, u, g, i)| Key::PackedPosting(p, u, g, i)),
        (portal(), user()).prop_map(|(p, u)| Key::DueCompaction(p, u)),
        Just(Key::Schema),
        (portal(), author(), ".{1,20}", any::<u128>().prop_map(Uuid::from_u128), 0u16..999)
            .prop_map(|(p, u, k, h, n)| Key::IdempotencyPart(p, u, k, h, n)),
    ]
}

proptest! {
    #[test]
    fn keys_round_trip(key in key()) {
        let (pk, sk) = key.encode();
        prop_assert_eq!(Key::decode(&pk, &sk), Some(key));
    }

    #[test]
    fn different_keys_have_different_texts(a in key(), b in key()) {
        prop_assert_eq!(a == b, a.encode() == b.encode());
    }

    #[test]
    fn addresses_of_one_user_sort_by_portal(email in email(), a in portal(), b in portal()) {
        let of = |portal: &PortalId| Key::Address(email.clone(), portal.clone()).encode();
        prop_assert_eq!(of(&a).cmp(&of(&b)), a.cmp(&b));
        prop_assert_eq!(&of(&a).0, &Range::Addresses(email).encode().0);
    }

    #[test]
    fn journal_entries_of_an_hour_share_a_partition_and_sort_by_time(
        portal in portal(), shard in 0u16..64, time in time(), later in 0..=TICKS_PER_HOUR, ids in (uuid(), uuid()),
    ) {
        let after = Timestamp::from_ticks(time.ticks() + later);
        let of = |time, id| Key::Move(portal.clone(), shard, time, id).encode();
        let (a, b) = (of(time, ids.0), of(after, ids.1));
        let hour = |time: Timestamp| time.ticks().div_euclid(TICKS_PER_HOUR);
        prop_assert_eq!(a.0 == b.0, hour(time) == hour(after));
        prop_assert!(time == after || a.1 < b.1);
        prop_assert!(a.1 >= moves_from(time) && (time == after || a.1 < moves_from(after)));
        prop_assert_eq!(a.0, Range::Moves(portal.clone(), shard, time).encode().0);
    }

    #[test]
    fn positions_round_trip_and_sort(a in (time(), contact()), b in (time(), contact())) {
        let at = |(created, contact)| IndexPosition { created, contact };
        let (a, b) = (at(a), at(b));
        prop_assert_eq!(IndexPosition::decode(&a.encode()), Some(a));
        prop_assert_eq!(a.encode().cmp(&b.encode()), a.cmp(&b));
    }

    #[test]
    fn bounds_include_exactly_the_stated_positions(a in (time(), contact()), b in (time(), contact())) {
        let at = |(created, contact)| IndexPosition { created, contact };
        let (a, b) = (at(a), at(b));
        prop_assert_eq!(b.encode() >= IndexPosition::lower_bound(a.created), b.created >= a.created);
        prop_assert_eq!(b.encode() <= IndexPosition::upper_bound(a.created), b.created <= a.created);
        prop_assert_eq!(b.encode() <= a.bound_after(), b < a);
        prop_assert_eq!(b.encode() >= a.bound_after_ascending(), b > a);
    }

    #[test]
    fn packed_postings_sort_after_earlier_generations(
        (portal, manager) in (portal(), user()), hash in any::<PostingHash>(), a in (any::<u32>(), uuid()), b in (any::<u32>(), uuid()),
    ) {
        let raw = Key::Posting(portal.clone(), manager, hash).encode();
        let packed = |(generation, id)| Key::PackedPosting(portal.clone(), manager, generation, id).encode();
        prop_assert!(raw < packed(a));
        if a.0 < b.0 {
            prop_assert!(packed(a) < packed(b));
        }
    }

    #[test]
    fn partitions_encode_to_distinct_texts(a in (portal(), 0u16..64, ".{1,8}"), b in (portal(), 0u16..64, ".{1,8}")) {
        let of = |(p, s, t): (PortalId, u16, String)| Partition::Tag(p, s, t);
        let (a, b) = (of(a), of(b));
        prop_assert_eq!(a == b, a.encode() == b.encode());
    }
}
