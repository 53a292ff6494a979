//! Contacts as ONLYOFFICE's two reference pages show them, and their parts.
//!
//! Keys are PascalCase, as on those pages; [`crate::answer`] renames the keys for other shapes.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::access::{Access, Caller, ShareType};
use crate::values::id::{ContactId, UserId};
use crate::values::timestamp::Timestamp;

/// A postal address of a contact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(
    rename_all = "PascalCase",
    default,
    deny_unknown_fields,
    expecting = "an object with the members of a postal address"
)]
pub struct Address {
    /// Street and house number.
    pub street: String,
    /// City.
    pub city: String,
    /// State, region or province.
    pub state: String,
    /// Postal code.
    pub zip: String,
    /// Country, as a name.
    pub country: String,
    /// Number of the category (home, work, …).
    pub category: i32,
    /// Name of the category.
    pub category_name: String,
    /// true for the address to use first.
    pub is_primary: bool,
}

/// An e-mail address, a phone number or another way to reach a contact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(
    rename_all = "PascalCase",
    default,
    deny_unknown_fields,
    expecting = "an object with the members of a way to reach a contact"
)]
pub struct CommonData {
    /// The kind of information: 0 phone, 1 e-mail, ….
    pub info_type: i32,
    /// Number of the category (home, work, …).
    pub category: i32,
    /// The information itself.
    pub data: String,
    /// Name of the category.
    pub category_name: String,
    /// true for the entry to use first.
    pub is_primary: bool,
    /// Identifier of this piece of information.
    #[serde(rename = "id")]
    pub id: i32,
}

/// A field that the portal added to its contacts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(
    rename_all = "PascalCase",
    default,
    deny_unknown_fields,
    expecting = "an object with the members of a custom field"
)]
pub struct CustomField {
    /// The contact that holds the field.
    pub entity_id: i32,
    /// The field's name.
    pub label: String,
    /// The field's value, as text.
    pub field_value: String,
    /// Number of the field's type.
    pub field_type: i32,
    /// Position among the fields.
    pub position: i32,
    /// Input mask.
    pub mask: String,
    /// Identifier of the field.
    #[serde(rename = "id")]
    pub id: i32,
}

/// The currency a contact is billed in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(
    rename_all = "PascalCase",
    default,
    deny_unknown_fields,
    expecting = "an object with the members of a currency"
)]
pub struct Currency {
    /// Name in full.
    pub title: String,
    /// Sign, such as `¥`.
    pub symbol: String,
    /// ISO 4217 code.
    pub abbreviation: String,
    /// Culture whose conventions format amounts.
    pub culture_name: String,
    /// true if an exchange rate is known.
    pub is_convertable: bool,
    /// true if the currency is offered first.
    pub is_basic: bool,
}

/// A stage or a type of contacts in the portal's directory. ONLYOFFICE calls a stage "contact status" or warmth.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = StageOrType))]
#[serde(
    rename_all = "PascalCase",
    default,
    deny_unknown_fields,
    expecting = "an object with the members of a stage or a type"
)]
pub struct ListItem {
    /// Identifier, unique among the portal's stages or types.
    #[serde(rename = "id")]
    pub id: i32,
    /// Name.
    pub title: String,
    /// Description.
    pub description: String,
    /// CSS colour.
    pub color: String,
    /// Position in the list.
    pub sort_order: i32,
}

/// A user of the portal, as answers show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct Employee {
    /// Identifier in the portal's user directory.
    #[cfg_attr(feature = "openapi", schema(value_type = uuid::Uuid))]
    pub id: UserId,
    /// Name in full.
    #[serde(default)]
    pub display_name: String,
    /// Job title.
    #[serde(default)]
    pub title: String,
    /// Address of a small picture.
    #[serde(default)]
    pub avatar_small: String,
    /// Address of the profile page.
    #[serde(default)]
    pub profile_url: String,
}

impl Employee {
    /// Returns the entry for a user who is no longer in the directory: only the identifier.
    pub fn departed(id: UserId) -> Self {
        Self {
            id,
            display_name: String::new(),
            title: String::new(),
            avatar_small: String::new(),
            profile_url: String::new(),
        }
    }
}

/// A stored contact without its access. It refers to stage, type and creator by identifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactRecord {
    /// Identifier.
    pub id: ContactId,
    /// Name that lists and filters show and search.
    #[serde(default)]
    pub display_name: String,
    /// First name of a person, if imported.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub first_name: String,
    /// Last name of a person, if imported.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_name: String,
    /// Name of a company, or of a person's company, if imported.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub company_name: String,
    /// Time at which the contact was created.
    pub created: Timestamp,
    /// The user who created the contact.
    pub create_by: Option<UserId>,
    /// True for a company, false for a person.
    pub is_company: bool,
    /// True if the contact takes part in an opportunity; list view 3 selects these contacts.
    pub has_opportunity: bool,
    /// Stage, 0 for none.
    pub stage: i32,
    /// Type, 0 for none.
    pub contact_type: i32,
    /// Tags as imported, not folded.
    pub tags: Vec<String>,
    /// Free text.
    #[serde(default)]
    pub about: String,
    /// Line of business.
    #[serde(default)]
    pub industry: String,
    /// Postal addresses.
    pub addresses: Vec<Address>,
    /// Ways to reach the contact.
    pub common_data: Vec<CommonData>,
    /// Fields that the portal added.
    pub custom_fields: Vec<CustomField>,
    /// Number of open tasks.
    pub task_count: i32,
    /// True if a task is overdue.
    pub have_late_tasks: bool,
    /// Address of a small picture.
    #[serde(default)]
    pub small_foto_url: String,
    /// Address of a larger picture.
    #[serde(default)]
    pub medium_foto_url: String,
    /// Currency, if set.
    pub currency: Option<Currency>,
}

impl ContactRecord {
    /// Returns a person's first and last name: the imported names, or else the display name split after its first word.
    pub fn person_names(&self) -> (&str, &str) {
        if self.first_name.is_empty() && self.last_name.is_empty() {
            split_name(&self.display_name)
        } else {
            (&self.first_name, &self.last_name)
        }
    }

    /// Returns a company's name: the imported name, or else the display name.
    pub fn shown_company_name(&self) -> &str {
        if self.company_name.is_empty() { &self.display_name } else { &self.company_name }
    }
}

/// Splits a name after its first word.
pub fn split_name(name: &str) -> (&str, &str) {
    let name = name.trim();
    let (first, rest) = name.split_once(char::is_whitespace).unwrap_or((name, ""));
    (first, rest.trim_start())
}

/// A contact as shown to one caller: the 24 members of ONLYOFFICE's reference pages, and three names that only the
/// dialect of ONLYOFFICE's server shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct Contact<'a> {
    /// Postal addresses.
    pub addresses: Vec<Address>,
    /// The user who created the contact.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Employee>))]
    pub create_by: Option<Cow<'a, Employee>>,
    /// Time at which the contact was created.
    pub created: Timestamp,
    /// Free text.
    pub about: String,
    /// Line of business.
    pub industry: String,
    /// Stage.
    pub contact_status: Option<ListItem>,
    /// Type.
    pub contact_type: Option<ListItem>,
    /// Ways to reach the contact.
    pub common_data: Vec<CommonData>,
    /// Fields that the portal added.
    pub custom_fields: Vec<CustomField>,
    /// Tags.
    pub tags: Vec<String>,
    /// Number of open tasks.
    pub task_count: i32,
    /// true if a task is overdue.
    pub have_late_tasks: bool,
    /// Identifier.
    #[serde(rename = "id")]
    pub id: ContactId,
    /// Address of a small picture.
    pub small_foto_url: String,
    /// Address of a larger picture.
    pub medium_foto_url: String,
    /// Name.
    pub display_name: String,
    /// true for a company, false for a person.
    pub is_company: bool,
    /// The managers, who may see and edit the contact; empty unless the contact is private.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Employee>))]
    pub access_list: Vec<Cow<'a, Employee>>,
    /// true if only the managers and administrators see the contact.
    pub is_private: bool,
    /// The opposite of isPrivate.
    pub is_shared: bool,
    /// 0 None, 1 ReadWrite, 2 Read.
    pub share_type: ShareType,
    /// Currency.
    pub currency: Option<Currency>,
    /// true if the caller may edit the contact.
    pub can_edit: bool,
    /// true if the caller may delete the contact.
    pub can_delete: bool,
    /// First name of a person.
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Last name of a person.
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    /// Name of a company.
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub company_name: Option<String>,
}

/// Lookup of the stages, types and users that a contact refers to.
pub trait Directory {
    /// Returns the stage with this identifier.
    fn stage(&self, id: i32) -> Option<ListItem>;
    /// Returns the type with this identifier.
    fn contact_type(&self, id: i32) -> Option<ListItem>;
    /// Returns the user with this identifier.
    fn employee(&self, id: UserId) -> Option<&Employee>;

    /// Returns the user's entry in the directory, borrowed. A user without an entry is shown with only the identifier.
    fn shown_employee(&self, id: UserId) -> Cow<'_, Employee> {
        self.employee(id).map_or_else(|| Cow::Owned(Employee::departed(id)), Cow::Borrowed)
    }
}

impl<'a> Contact<'a> {
    /// The keys of the members that only ONLYOFFICE's dialect shows.
    pub const ONLYOFFICE_KEYS: [&'static str; 3] = ["FirstName", "LastName", "CompanyName"];

    /// The keys of the members on ONLYOFFICE's reference pages.
    pub const KEYS: [&'static str; 24] = [
        "Addresses",
        "CreateBy",
        "Created",
        "About",
        "Industry",
        "ContactStatus",
        "ContactType",
        "CommonData",
        "CustomFields",
        "Tags",
        "TaskCount",
        "HaveLateTasks",
        "id",
        "SmallFotoUrl",
        "MediumFotoUrl",
        "DisplayName",
        "IsCompany",
        "AccessList",
        "IsPrivate",
        "IsShared",
        "ShareType",
        "Currency",
        "CanEdit",
        "CanDelete",
    ];

    /// Returns this earlier answer for a caller who may no longer see the contact: only the identifier and the access
    /// remain.
    #[must_use]
    pub fn veiled(&self) -> Self {
        Self {
            addresses: Vec::new(),
            create_by: None,
            created: Timestamp::from_ticks(0),
            about: String::new(),
            industry: String::new(),
            contact_status: None,
            contact_type: None,
            common_data: Vec::new(),
            custom_fields: Vec::new(),
            tags: Vec::new(),
            task_count: 0,
            have_late_tasks: false,
            small_foto_url: String::new(),
            medium_foto_url: String::new(),
            display_name: String::new(),
            is_company: false,
            currency: None,
            id: self.id,
            access_list: self.access_list.clone(),
            is_private: self.is_private,
            is_shared: self.is_shared,
            share_type: self.share_type,
            can_edit: self.can_edit,
            can_delete: self.can_delete,
            first_name: None,
            last_name: None,
            company_name: None,
        }
    }

    /// Builds the view of `record` and `access` for `caller`.
    pub fn new(record: ContactRecord, access: &Access, directory: &'a impl Directory, caller: &Caller) -> Self {
        // Records without a creator have the nil UUID, which must not be shown as a departed user.
        let is_shown = |id: &UserId| !id.is_nil() || directory.employee(*id).is_some();
        let create_by = record.create_by.filter(is_shown).map(|id| directory.shown_employee(id));
        let may_edit = caller.may_edit(access);
        let (mut first_name, mut last_name, mut company_name) = (None, None, None);
        if record.is_company {
            company_name = Some(record.shown_company_name().to_owned());
        } else {
            let (first, last) = record.person_names();
            (first_name, last_name) = (Some(first.to_owned()), Some(last.to_owned()));
        }
        Self {
            addresses: record.addresses,
            create_by,
            created: record.created,
            about: record.about,
            industry: record.industry,
            contact_status: directory.stage(record.stage),
            contact_type: directory.contact_type(record.contact_type),
            common_data: record.common_data,
            custom_fields: record.custom_fields,
            tags: record.tags,
            task_count: record.task_count,
            have_late_tasks: record.have_late_tasks,
            id: record.id,
            small_foto_url: record.small_foto_url,
            medium_foto_url: record.medium_foto_url,
            display_name: record.display_name,
            is_company: record.is_company,
            access_list: if access.share.is_private() {
                access.managers.iter().map(|&id| directory.shown_employee(id)).collect()
            } else {
                Vec::new()
            },
            is_private: access.share.is_private(),
            is_shared: !access.share.is_private(),
            share_type: access.share,
            currency: record.currency,
            can_edit: may_edit,
            can_delete: may_edit,
            first_name,
            last_name,
            company_name,
        }
    }
}
