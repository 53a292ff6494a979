//! Lines of an import file.

use jiff::tz::TimeZone;
use models::contact::ContactRecord;
use models::directory::Scope;
use models::import::{Line, parse_line};
use models::limits::MAX_LOG_LINE_BYTES;
use serde_json::{Value, json};

use crate::allocations::bounded;
use crate::messages::check_message;

/// Maximum bytes of the message about a line.
const MAX_MESSAGE_BYTES: usize = 1024;
const _: () = assert!(MAX_MESSAGE_BYTES < MAX_LOG_LINE_BYTES);

/// Fuzzes the reader of import lines.
///
/// # Panics
///
/// If a property of the reader does not hold.
pub fn import_lines(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let zone = TimeZone::get("Europe/Riga").unwrap_or(TimeZone::UTC);
    let line = match bounded(data.len(), || parse_line(text, &zone)) {
        Ok(line) => line,
        Err(message) => return check_message(&message, MAX_MESSAGE_BYTES, data),
    };
    if let Some(again) = written(&line) {
        let again = again.to_string();
        assert_eq!(parse_line(&again, &zone).as_ref(), Ok(&line), "{again}");
    }
}

/// Writes a line as JSON. Returns `None` if an employee cannot be serialized.
fn written(line: &Line) -> Option<Value> {
    Some(match line {
        Line::Portal(portal) => {
            let zone = portal.time_zone.as_ref().and_then(TimeZone::iana_name);
            json!({"portal": {"Id": portal.id.to_string(), "TimeZone": zone, "Shards": portal.shards}})
        }
        Line::User(user, hash) => {
            let mut members = serde_json::to_value(&user.employee).ok()?;
            members["IsAdmin"] = user.is_admin.into();
            members["Email"] = user.email.as_ref().map(ToString::to_string).into();
            members["PasswordHash"] = hash.as_ref().map(|hash| hash.as_str().to_owned()).into();
            json!({"user": members})
        }
        Line::Stage(item) => json!({"stage": item}),
        Line::Type(item) => json!({"type": item}),
        Line::Contact(record, access) => {
            let mut members = contact(record);
            members["AccessList"] = access.managers.iter().map(|id| json!({"Id": id.to_string()})).collect();
            members["ShareType"] = access.share.number().into();
            json!({"contact": members})
        }
        Line::Token(token) => {
            let scopes: Vec<&str> = token.scopes.iter().copied().map(Scope::name).collect();
            let expires = token.expires.map(|at| at.to_string());
            json!({"token": {"Token": token.token, "UserId": token.user, "Scopes": scopes, "Expires": expires}})
        }
        Line::DeleteContact(id) => json!({"delete": {"Contact": id.get()}}),
        Line::DeleteUser(id) => json!({"delete": {"User": id.to_string()}}),
    })
}

fn contact(record: &ContactRecord) -> Value {
    json!({
        "Id": record.id.get(),
        "Created": record.created.to_string(),
        "CreateBy": record.create_by.map(|id| json!({"Id": id.to_string()})),
        "DisplayName": record.display_name,
        "FirstName": record.first_name,
        "LastName": record.last_name,
        "CompanyName": record.company_name,
        "IsCompany": record.is_company,
        "HasOpportunity": record.has_opportunity,
        "ContactStatus": {"id": record.stage},
        "ContactType": {"id": record.contact_type},
        "Tags": record.tags,
        "About": record.about,
        "Industry": record.industry,
        "Addresses": record.addresses,
        "CommonData": record.common_data,
        "CustomFields": record.custom_fields,
        "TaskCount": record.task_count,
        "HaveLateTasks": record.have_late_tasks,
        "SmallFotoUrl": record.small_foto_url,
        "MediumFotoUrl": record.medium_foto_url,
        "Currency": record.currency,
    })
}
