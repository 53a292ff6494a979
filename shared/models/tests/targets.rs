//! The two kinds of target, a replacement and an edit of the manager list, in stored and shown form.

use models::access::{Access, AccessEdit, ShareType, Target, TooManyManagers};
use models::limits::MAX_MANAGERS;
use models::values::id::UserId;
use proptest::prelude::*;
use serde_json::{Value, json};

const NANCY: UserId = UserId::from_u128(1);
const ANDREW: UserId = UserId::from_u128(2);
const JANET: UserId = UserId::from_u128(3);

fn edit(share: Option<ShareType>, add: &[UserId], remove: &[UserId]) -> Target {
    AccessEdit { share, add: add.to_vec(), remove: remove.to_vec() }.into()
}

fn access(share: ShareType, managers: &[UserId]) -> Access {
    Access { share, managers: managers.to_vec() }
}

#[test]
fn added_managers_come_last_and_present_managers_stay_in_place() {
    let before = access(ShareType::Read, &[NANCY, ANDREW]);
    for (target, share, managers) in [
        (edit(None, &[JANET], &[]), ShareType::Read, &[NANCY, ANDREW, JANET][..]),
        (edit(None, &[JANET, NANCY], &[]), ShareType::Read, &[NANCY, ANDREW, JANET]),
        (edit(None, &[NANCY], &[]), ShareType::Read, &[NANCY, ANDREW]),
        (edit(None, &[], &[NANCY]), ShareType::Read, &[ANDREW]),
        (edit(None, &[], &[JANET]), ShareType::Read, &[NANCY, ANDREW]),
        (edit(None, &[JANET], &[NANCY]), ShareType::Read, &[ANDREW, JANET]),
        (edit(Some(ShareType::None), &[JANET], &[]), ShareType::None, &[NANCY, ANDREW, JANET]),
        (edit(Some(ShareType::ReadWrite), &[], &[]), ShareType::ReadWrite, &[NANCY, ANDREW]),
        (access(ShareType::None, &[JANET]).into(), ShareType::None, &[JANET]),
    ] {
        assert_eq!(target.applied_to(&before), Ok(access(share, managers)), "{target:?}");
    }
}

#[test]
fn list_of_the_maximum_length_takes_no_further_manager() {
    let managers: Vec<UserId> = (10..10 + MAX_MANAGERS as u128).map(UserId::from_u128).collect();
    let (first, full) = (managers[0], access(ShareType::None, &managers));
    assert_eq!(edit(None, &[NANCY], &[]).applied_to(&full), Err(TooManyManagers { managers: MAX_MANAGERS + 1 }));
    assert_eq!(edit(None, &[first], &[]).applied_to(&full), Ok(full.clone()));
    let exchanged = edit(None, &[NANCY], &[first]).applied_to(&full).unwrap();
    assert_eq!((exchanged.managers.len(), exchanged.managers.last()), (MAX_MANAGERS, Some(&NANCY)));
}

#[test]
fn replacement_is_stored_as_earlier_versions_stored_it() {
    let target: Target = access(ShareType::None, &[NANCY]).into();
    let stored = json!({"share": 0, "managers": [NANCY]});
    assert_eq!(serde_json::to_value(&target).unwrap(), stored);
    assert_eq!(serde_json::from_value::<Target>(stored).unwrap(), target);
}

#[test]
fn target_without_its_members_is_refused() {
    for stored in [
        json!({}),
        json!({"share": 0}),
        json!({"managers": []}),
        json!({"share": 0, "add": []}),
        json!({"share": 0, "managers": [], "add": [], "remove": []}),
    ] {
        assert!(serde_json::from_value::<Target>(stored.clone()).is_err(), "{stored}");
    }
}

#[test]
fn view_has_the_fields_of_the_request() {
    let view = |target: &Target| serde_json::to_value(target.view()).unwrap();
    for (target, expected) in [
        (access(ShareType::ReadWrite, &[]).into(), json!({"IsPrivate": false, "ManagerList": []})),
        (edit(None, &[NANCY], &[]), json!({"AddManagers": [NANCY]})),
        (edit(None, &[], &[NANCY]), json!({"RemoveManagers": [NANCY]})),
        (
            edit(Some(ShareType::None), &[ANDREW], &[NANCY]),
            json!({"IsPrivate": true, "AddManagers": [ANDREW], "RemoveManagers": [NANCY]}),
        ),
        // Without the empty list, the same request would empty the manager lists.
        (edit(Some(ShareType::None), &[], &[]), json!({"IsPrivate": true, "AddManagers": []})),
    ] {
        assert_eq!(view(&target), expected);
    }
}

fn any_access() -> impl Strategy<Value = Access> {
    let managers = prop::collection::btree_set(0u128..8, 0..8).prop_map(|ids| ids.into_iter().collect::<Vec<_>>());
    (0usize..3, managers.prop_shuffle()).prop_map(|(share, managers)| Access {
        share: ShareType::ALL[share],
        managers: managers.into_iter().map(UserId::from_u128).collect(),
    })
}

fn any_edit() -> impl Strategy<Value = AccessEdit> {
    let role = prop::collection::vec((0u128..8, any::<bool>()), 0..8);
    (prop::option::of(any::<bool>()), role).prop_map(|(is_private, roles)| {
        let roles: std::collections::BTreeMap<u128, bool> = roles.into_iter().collect();
        let of =
            |adds: bool| roles.iter().filter(|(_, is)| **is == adds).map(|(id, _)| UserId::from_u128(*id)).collect();
        AccessEdit::requested(is_private, of(true), of(false))
    })
}

proptest! {
    #[test]
    fn edited_list_has_the_added_managers_and_not_the_removed(before in any_access(), edit in any_edit()) {
        let target = Target::from(edit.clone());
        let after = target.applied_to(&before).unwrap();
        let has = |manager: &UserId| after.managers.contains(manager);
        prop_assert!(edit.add.iter().all(has) && !edit.remove.iter().any(has));
        let kept: Vec<UserId> =
            before.managers.iter().filter(|manager| !edit.remove.contains(manager)).copied().collect();
        prop_assert_eq!(&after.managers[..kept.len()], &kept[..]);
        prop_assert!(after.managers[kept.len()..].iter().all(|manager| edit.add.contains(manager)));
        prop_assert_eq!(after.share, edit.share.unwrap_or(before.share));
        // A repeated edit changes nothing.
        prop_assert_eq!(target.applied_to(&after).unwrap(), after);
    }

    #[test]
    fn stored_target_round_trips(edit in any_edit(), replacement in any_access()) {
        for target in [Target::from(edit), Target::from(replacement)] {
            let stored: Value = serde_json::to_value(&target).unwrap();
            prop_assert_eq!(serde_json::from_value::<Target>(stored).unwrap(), target);
        }
    }
}
