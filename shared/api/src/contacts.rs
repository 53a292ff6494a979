//! Contacts on their way into an answer.

use std::collections::HashSet;

use models::access::{Access, Caller};
use models::contact::Contact;
use models::id::ContactId;
use models::portal::{Entries, Grant};
use store::directory::Lists;
use uuid::Uuid;

use crate::app::App;
use crate::failure::Failure;

/// Checks that every manager of `access` is among the `known` users.
///
/// # Errors
///
/// [`Failure::UnknownManagers`] names those that are not.
pub fn check_managers(access: &Access, is_known: impl Fn(&Uuid) -> bool) -> Result<(), Failure> {
    let unknown: Vec<Uuid> = access.managers.iter().filter(|id| !is_known(id)).copied().collect();
    if unknown.is_empty() { Ok(()) } else { Err(Failure::UnknownManagers(unknown)) }
}

/// Shows contacts that all have the same access, in the order of `ids`. Half a read unit per contact and 4 KB, and per
/// user who created one of them. `entries` holds the users that are known already.
pub async fn show(
    app: &App,
    grant: &Grant,
    caller: &Caller,
    ids: &[ContactId],
    access: &Access,
    lists: Lists,
    mut entries: Entries,
) -> Result<Vec<Contact>, Failure> {
    let mut records = app.store.contacts(&grant.portal, ids).await?;
    let creators: HashSet<Uuid> =
        records.values().filter_map(|record| record.create_by).filter(|id| !entries.users.contains_key(id)).collect();
    entries.users.extend(app.store.users(&grant.portal, creators).await?);
    entries.stages = lists.stages;
    entries.types = lists.types;
    // A contact that was removed since its index entry was read is left out.
    Ok(ids
        .iter()
        .filter_map(|id| records.remove(id))
        .map(|record| Contact::new(record, access, &entries, caller))
        .collect())
}
