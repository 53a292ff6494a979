//! The golden table of access: a change of policy is a change of `snapshots/access.snap`.

use std::fmt::Write as _;
use std::sync::LazyLock;

use models::access::{Access, Caller, ShareType};
use models::contact::{Contact, ContactRecord};
use models::directory::Entries;
use models::values::id::{ContactId, UserId};
use models::values::timestamp::Timestamp;
use proptest::prelude::*;

const CALLER: UserId = UserId::from_u128(1);
const COLLEAGUE: UserId = UserId::from_u128(2);
const STRANGER: UserId = UserId::from_u128(3);

const ADMINISTRATOR: Caller = Caller { user: CALLER, is_admin: true };
const USER: Caller = Caller { user: CALLER, is_admin: false };

/// Manager lists, by their names in the table.
const LISTS: [(&str, &[UserId]); 4] =
    [("empty", &[]), ("others", &[COLLEAGUE, STRANGER]), ("caller", &[CALLER]), ("caller last", &[COLLEAGUE, CALLER])];

fn shown(record: &Access, caller: Caller) -> Contact<'static> {
    let contact = ContactRecord {
        id: ContactId::MIN,
        display_name: String::new(),
        first_name: String::new(),
        last_name: String::new(),
        company_name: String::new(),
        created: Timestamp::MIN,
        create_by: None,
        is_company: false,
        has_opportunity: false,
        stage: 0,
        contact_type: 0,
        tags: Vec::new(),
        about: String::new(),
        industry: String::new(),
        addresses: Vec::new(),
        common_data: Vec::new(),
        custom_fields: Vec::new(),
        task_count: 0,
        have_late_tasks: false,
        small_foto_url: String::new(),
        medium_foto_url: String::new(),
        currency: None,
    };
    static NO_ENTRIES: LazyLock<Entries> = LazyLock::new(Entries::default);
    Contact::new(contact, record, &*NO_ENTRIES, &caller)
}

/// Writes one line of the table. The rules answer "see" and "edit, set". Deleting has no endpoint, so the line shows
/// the member of the answer.
fn row(table: &mut String, (role, caller): (&str, Caller), (share, list): (&str, &str), record: &Access) {
    let word = |allowed: bool| if allowed { "yes" } else { "-" };
    let contact = shown(record, caller);
    assert_eq!(contact.can_edit, caller.may_edit(record), "{role} {share} {list}: the answer shows the caller's right");
    writeln!(
        table,
        "{role:<16} {share:<14} {list:<12} {:<4} {:<9} {:<6}",
        word(caller.may_see(record)),
        word(caller.may_edit(record)),
        word(contact.can_delete),
    )
    .unwrap();
}

#[test]
fn golden_table() {
    let mut table = format!(
        "{:<16} {:<14} {:<12} {:<4} {:<9} {:<6}\n",
        "role", "access record", "manager list", "see", "edit, set", "delete"
    );
    let records: Vec<(String, &str, Access)> = std::iter::once(("no record".to_owned(), "", Access::UNRECORDED))
        .chain(ShareType::ALL.into_iter().flat_map(|share| {
            LISTS.map(|(list, managers)| {
                (format!("{} {share:?}", share.number()), list, Access { share, managers: managers.to_vec() })
            })
        }))
        .collect();
    for (role, caller, is_listed) in [
        ("administrator", ADMINISTRATOR, None),
        ("listed manager", USER, Some(true)),
        ("other user", USER, Some(false)),
    ] {
        for (share, list, record) in &records {
            if is_listed.is_none_or(|listed| listed == record.managers.contains(&CALLER)) {
                row(&mut table, (role, caller), (share, list), record);
            }
        }
    }
    crate::check_file("access", &table);
}

#[test]
fn contact_without_record_is_public() {
    assert_eq!(Access::UNRECORDED, Access { share: ShareType::ReadWrite, managers: Vec::new() });
}

#[test]
fn managers_of_a_public_contact_are_stored_but_not_shown() {
    for share in ShareType::ALL {
        let record = Access { share, managers: vec![COLLEAGUE] };
        let contact = shown(&record, ADMINISTRATOR);
        assert_eq!(contact.access_list.len(), usize::from(share == ShareType::None), "{share:?}");
        assert_eq!((contact.is_private, contact.is_shared), (share == ShareType::None, share != ShareType::None));
    }
}

#[test]
fn managers_are_deduplicated_in_the_order_of_first_mention() {
    let record = Access::requested(true, [COLLEAGUE, CALLER, COLLEAGUE, STRANGER, CALLER]);
    assert_eq!(record, Access { share: ShareType::None, managers: vec![COLLEAGUE, CALLER, STRANGER] });
}

#[test]
fn share_types_have_the_numbers_0_to_2() {
    for number in -3..6 {
        let share = ShareType::from_number(number);
        assert_eq!(share.map(|share| i64::from(share.number())), (0..3).contains(&number).then_some(number));
    }
}

fn access() -> impl Strategy<Value = Access> {
    let user = (1..4u128).prop_map(UserId::from_u128);
    (prop::sample::select(&ShareType::ALL[..]), prop::collection::vec(user, 0..5))
        .prop_map(|(share, managers)| Access { share, managers })
}

proptest! {
    #[test]
    fn every_editor_may_see_the_contact(record in access(), is_admin: bool) {
        let caller = Caller { user: CALLER, is_admin };
        prop_assert!(!caller.may_edit(&record) || caller.may_see(&record));
    }

    #[test]
    fn administrator_may_see_and_edit_every_contact(record in access()) {
        prop_assert!(ADMINISTRATOR.may_see(&record) && ADMINISTRATOR.may_edit(&record));
    }

    #[test]
    fn manager_has_at_least_the_rights_of_other_users(record in access()) {
        let mut listed = record.clone();
        listed.managers.push(CALLER);
        prop_assert!(USER.may_see(&listed) && USER.may_edit(&listed));
        prop_assert!(USER.may_see(&listed) >= USER.may_see(&record) && USER.may_edit(&listed) >= USER.may_edit(&record));
    }
}
