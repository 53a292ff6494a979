//! Lists of contacts: sort orders, criteria for access, and the cheaper way to read.

use models::access::{Access, Actor, Caller, ShareType};
use models::filter::listing::{Facts, Order, Rank, SortBy, posting_budget};
use models::filter::{AccessCriteria, IndexEntry};
use models::values::id::{ContactId, UserId};
use models::values::timestamp::Timestamp;
use proptest::prelude::*;

fn entry(contact: i32, created: i64, name: &str) -> IndexEntry {
    IndexEntry {
        contact: ContactId::try_from(i64::from(contact)).unwrap(),
        created: Timestamp::from_ticks(created),
        stage: 0,
        contact_type: 0,
        is_company: false,
        has_opportunity: false,
        tags: Vec::new(),
        name: name.into(),
    }
}

/// Returns the identifiers of the contacts in this order.
fn sorted(order: Order, entries: &[IndexEntry]) -> Vec<i32> {
    let mut ranks: Vec<Rank> = entries.iter().map(|entry| order.rank(entry, Facts::default())).collect();
    ranks.sort();
    ranks.iter().map(|rank| rank.contact().get()).collect()
}

#[test]
fn default_direction_is_descending_for_dates_only() {
    for (by, descending, expected) in [
        (None, None, (SortBy::Created, true)),
        (None, Some(false), (SortBy::Created, false)),
        (Some(SortBy::Created), None, (SortBy::Created, true)),
        (Some(SortBy::DisplayName), None, (SortBy::DisplayName, false)),
        (Some(SortBy::Id), None, (SortBy::Id, false)),
        (Some(SortBy::FirstName), None, (SortBy::FirstName, false)),
        (Some(SortBy::LastName), None, (SortBy::LastName, false)),
        (Some(SortBy::ContactType), None, (SortBy::ContactType, false)),
        (Some(SortBy::History), None, (SortBy::History, true)),
        (Some(SortBy::Id), Some(true), (SortBy::Id, true)),
    ] {
        let order = Order::new(by, descending);
        assert_eq!((order.by, order.descending), expected);
    }
    assert_eq!(Order::default(), Order::new(None, None));
}

#[test]
fn identifier_breaks_ties_in_the_same_direction() {
    let entries = [entry(3, 5, "ann"), entry(10, 5, "ann"), entry(7, 4, "bob"), entry(1, 6, "")];
    for (by, expected) in
        [(SortBy::Created, [7, 3, 10, 1]), (SortBy::DisplayName, [1, 3, 10, 7]), (SortBy::Id, [1, 3, 7, 10])]
    {
        assert_eq!(sorted(Order { by, descending: false }, &entries), expected);
        let mut reversed = expected;
        reversed.reverse();
        assert_eq!(sorted(Order { by, descending: true }, &entries), reversed);
    }
}

#[test]
fn lists_are_sorted_by_names_types_and_time_of_the_access() {
    let names = |first: &str, last: &str| (first.to_owned(), last.to_owned());
    let set_at = |ticks| Some(Timestamp::from_ticks(ticks));
    let contacts = [
        (1, false, 0, Facts { names: names("ann", "zoe"), type_order: None, set_at: None }),
        (2, false, 7, Facts { names: names("bob", "abel"), type_order: Some(2), set_at: set_at(9) }),
        (3, true, 8, Facts { names: names("acme", ""), type_order: Some(1), set_at: set_at(5) }),
    ];
    for (by, expected) in [
        (SortBy::FirstName, [3, 1, 2]),
        (SortBy::LastName, [2, 3, 1]),
        (SortBy::ContactType, [1, 3, 2]),
        (SortBy::History, [1, 3, 2]),
    ] {
        let order = Order { by, descending: false };
        let rank = |(contact, is_company, contact_type, facts): &(i32, bool, i32, Facts)| {
            let entry = IndexEntry { is_company: *is_company, contact_type: *contact_type, ..entry(*contact, 0, "") };
            order.rank(&entry, facts.clone())
        };
        let mut ranks: Vec<Rank> = contacts.iter().map(rank).collect();
        ranks.sort();
        assert_eq!(ranks.iter().map(|rank| rank.contact().get()).collect::<Vec<_>>(), expected, "{by:?}");
    }
}

#[test]
fn nil_user_selects_contacts_without_a_manager_that_the_caller_may_know() {
    let (user, other) = (UserId::from_u128(1), UserId::from_u128(2));
    let nobody = AccessCriteria { responsible: Some(UserId::NIL), ..AccessCriteria::default() };
    for (caller, share, managers, expected) in [
        (Caller { user, is_admin: true }, ShareType::None, vec![], true),
        (Caller { user, is_admin: true }, ShareType::ReadWrite, vec![], true),
        (Caller { user, is_admin: true }, ShareType::ReadWrite, vec![other], false),
        (Caller { user, is_admin: false }, ShareType::ReadWrite, vec![other], true),
        (Caller { user, is_admin: false }, ShareType::ReadWrite, vec![user], false),
        (Caller { user, is_admin: false }, ShareType::None, vec![user, other], false),
    ] {
        let access = Access { share, managers };
        assert_eq!(nobody.holds(&access, &Actor::User(caller)), expected, "{access:?} {caller:?}");
    }
}

#[test]
fn responsible_selects_only_managers_that_the_caller_may_know() {
    let (user, other) = (UserId::from_u128(1), UserId::from_u128(2));
    // An administrator knows the managers of a shared contact, a manager knows only itself, and
    // other users know no manager.
    let administrator = Caller { user: other, is_admin: true };
    let (manager, stranger) = (Caller { user, is_admin: false }, Caller { user: other, is_admin: false });
    let callers = [(administrator, true), (manager, true), (stranger, false)];
    for (share, (caller, knows)) in ShareType::ALL.into_iter().flat_map(|share| callers.map(|caller| (share, caller))) {
        for (managers, is_listed) in [(vec![other, user], true), (vec![other], false), (vec![], false)] {
            let access = Access { share, managers };
            let responsible = is_listed && (knows || share.is_private());
            let holds =
                |shared, responsible| AccessCriteria { shared, responsible }.holds(&access, &Actor::User(caller));
            assert!(holds(None, None));
            assert_eq!(holds(None, Some(user)), responsible, "{access:?}");
            assert_eq!(holds(Some(true), None), !share.is_private(), "{access:?}");
            assert_eq!(holds(Some(false), None), share.is_private(), "{access:?}");
            assert_eq!(holds(Some(false), Some(user)), responsible && share.is_private(), "{access:?}");
        }
    }
}

#[test]
fn postings_are_read_if_they_cost_less_than_the_scan() {
    for (expected, until, budget) in [
        // Without a page the scan reads every entry: postings are cheaper up to about half as many contacts.
        (100_000, None, 53_000),
        (0, None, 0),
        (1, None, 0),
        // A full page ends the scan: the more contacts the user has, the sooner.
        (100_000, Some(26), 1_173),
        (1_000_000, Some(26), 3_712),
        (1_000_000, Some(1001), 23_033),
        // A page with room for the whole index does not end the scan.
        (100, Some(1001), 53),
    ] {
        assert_eq!(posting_budget(expected, until), budget, "{expected} {until:?}");
    }
}

proptest! {
    #[test]
    fn posting_budget_never_falls_with_a_larger_index(a in any::<u64>(), b in any::<u64>(), until in prop::option::of(1..10_000u64)) {
        prop_assert!(posting_budget(a.min(b), until) <= posting_budget(a.max(b), until));
        prop_assert!(posting_budget(a, until) <= posting_budget(a, None));
    }

    #[test]
    fn ranks_of_contacts_are_unique(
        contacts in prop::collection::btree_map(1..50i32, (0..3i64, "[ab]{0,2}"), 0..20),
        by in prop::sample::select(SortBy::ALL.map(|(_, by)| by).to_vec()),
        descending in any::<bool>(),
    ) {
        let entries: Vec<IndexEntry> = contacts.iter().map(|(id, (created, name))| entry(*id, *created, name)).collect();
        let order = Order { by, descending };
        let ranks: std::collections::BTreeSet<Rank> = entries.iter().map(|entry| order.rank(entry, Facts::default())).collect();
        prop_assert_eq!(ranks.len(), entries.len());
    }
}
