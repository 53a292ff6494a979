//! Fields that select contacts, and fields of the change of their access.

use std::borrow::Cow;
use std::collections::HashSet;

use jiff::tz::TimeZone;
use serde_json::Value;

use crate::access::{Access, AccessEdit, Target};
use crate::filter::{AccessCriteria, Filter, ListView};
use crate::invalid::{Fault, Invalid, shown};
use crate::limits::{MAX_FAULTS, MAX_FILTER_VALUE_BYTES, MAX_IDEMPOTENCY_KEY_BYTES, MAX_NAMED_CONTACTS};
use crate::request::bodies::{EDITS, FILTER, IS_SHARED, RESPONSIBLE};
use crate::request::field::Blank;
use crate::request::fields::{A_UUID, Encoding, Fields, WhenAbsent, checked_tag, too_long_filter_value, words};
use crate::request::text::{contact_id, whole, whole_number};
use crate::values::id::{ContactId, PortalId, UserId};
use crate::values::timestamp::{Edge, LocalEdge, NotATimestamp, Timestamp, with_plus};

/// A filter whose dates are not resolved in the portal's time zone yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnresolvedFilter {
    /// Filter without dates.
    undated: Filter,
    from: Option<GivenDate>,
    to: Option<GivenDate>,
}

/// A date of a request, with its field and its text for faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GivenDate {
    field: String,
    text: String,
    edge: LocalEdge,
}

impl GivenDate {
    fn resolve(&self, zone: &TimeZone) -> Result<Timestamp, Fault> {
        let resolved = self.edge.resolve(zone);
        resolved.map_err(|fault| Fault { field: self.field.clone(), message: wrong_date(fault, &self.text) })
    }
}

/// Returns the message for a date that cannot be parsed or resolved.
fn wrong_date(fault: NotATimestamp, text: &str) -> String {
    format!("{fault}; it is \"{}\"", shown(text))
}

impl UnresolvedFilter {
    /// Returns the tags, which need no time zone.
    pub fn tags(&self) -> &[String] {
        &self.undated.tags
    }

    /// Returns the filter. Dates without an offset are in `zone`.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names every date that does not exist in `zone`, and `fromDate` if it is after `toDate`.
    pub fn resolve(self, zone: &TimeZone) -> Result<Filter, Invalid> {
        let Self { undated, from, to } = self;
        let after = "is after toDate, so no contact can match; swap the two dates";
        let (from_date, to_date) = resolve_dates(from, to, zone, after)?;
        Ok(Filter { from_date, to_date, ..undated })
    }
}

/// Returns the two ends of an inclusive range of dates in `zone`.
///
/// # Errors
///
/// [`Invalid`] names every date that does not exist in `zone`. If `from` is after `to`, the fault has the message
/// `after`.
pub(super) fn resolve_dates(
    from: Option<GivenDate>,
    to: Option<GivenDate>,
    zone: &TimeZone,
    after: &str,
) -> Result<(Option<Timestamp>, Option<Timestamp>), Invalid> {
    let mut faults = Vec::new();
    let mut resolve = |date: &GivenDate| date.resolve(zone).map_err(|fault| faults.push(fault)).ok();
    let (from_date, to_date) = (from.as_ref().and_then(&mut resolve), to.as_ref().and_then(&mut resolve));
    if let (Some(given), Some(from), Some(to)) = (from, from_date, to_date)
        && from > to
    {
        faults.push(Fault { field: given.field, message: after.to_owned() });
    }
    if faults.is_empty() { Ok((from_date, to_date)) } else { Err(Invalid { faults }) }
}

impl Fields {
    /// Takes `isShared` and `responsibleid`.
    pub(super) fn access_criteria(&mut self) -> AccessCriteria {
        AccessCriteria { shared: self.boolean("isShared"), responsible: self.uuid("responsibleid") }
    }

    /// Takes the fields of a filter, apart from the words and the criteria for access.
    pub(super) fn filter(
        &mut self,
        filter_value: Option<&str>,
        access: AccessCriteria,
        blank: Blank,
    ) -> UnresolvedFilter {
        let words = filter_value.map(words).unwrap_or_default();
        if blank == Blank::Refused {
            if filter_value.is_some() && words.is_empty() {
                self.fault("filterValue", "must not be blank; leave it out for any name");
            }
            self.refuse_empty_filter(filter_value.is_some() || !access.seeks_nothing());
        }
        let undated = Filter {
            tags: self.tags("tags"),
            stages: self.any_of("contactStage"),
            types: self.any_of("contactType"),
            view: self.list_view("contactListView"),
            from_date: None,
            to_date: None,
            words,
            access,
        };
        let (from, to) = (self.date("fromDate", Edge::From), self.date("toDate", Edge::To));
        UnresolvedFilter { undated, from, to }
    }

    /// Records a fault if the filter fields that are present are all empty: `null`, or `tags` without a tag.
    pub(super) fn refuse_empty_filter(&mut self, has_other_condition: bool) {
        let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
        let is_of_filter = |name: &str| FILTER.iter().any(|field| field.name == name);
        let null = self.nulls.iter().copied().find(|name| is_of_filter(name));
        let empty = null.or_else(|| self.object.get("tags").is_some_and(is_empty).then_some("tags"));
        // An empty list of stages or types is a documented way to select any stage or type.
        let has_condition =
            |(name, value): (&String, &Value)| is_of_filter(name) && !(name == "tags" && is_empty(value));
        let has_condition = self.object.iter().any(has_condition);
        if let Some(name) = empty
            && !has_condition
            && !has_other_condition
        {
            let message =
                "is empty, like every other filter field here; leave the filter fields out to select every contact";
            self.fault(name, message);
        }
    }

    /// Refuses the criteria for access in a body that also sets access.
    pub(super) fn refuse_access_criteria(&mut self) {
        let criteria = [IS_SHARED.name, RESPONSIBLE.name];
        let is_criterion = |name: &&String| criteria.iter().any(|criterion| criterion.eq_ignore_ascii_case(name));
        let names: Vec<String> = self.object.keys().filter(is_criterion).cloned().collect();
        for name in names {
            self.object.remove(&name);
            self.fault(
                shown(&name),
                "selects contacts, and belongs in the query: filter/access?isShared=false or \
                 filter/access?responsibleid=UUID; the fields of the body that set the access are isPrivate, managerList, \
                 addManagers and removeManagers",
            );
        }
    }

    /// Takes the fields of the change of access. The request makes the contacts private or public as `is_private` says,
    /// and `list` is the name of the field that replaces manager lists.
    pub(super) fn target(&mut self, is_private: Option<bool>, list: &str) -> Target {
        let Some(edit) = EDITS.iter().copied().find(|name| self.object.contains_key(*name)) else {
            return Access::requested(is_private.unwrap_or_default(), self.uuids(list)).into();
        };
        if self.object.remove(list).is_some() {
            self.fault(list, format!("replaces the manager lists, and cannot be given together with {edit}"));
        }
        let faults = self.faults.len();
        let [add, remove] = [EDITS[0], EDITS[1]].map(|name| self.uuids(name));
        if faults == self.faults.len() && is_private.is_none() && add.is_empty() && remove.is_empty() {
            self.fault(edit, "is empty, so nothing would change; name at least one user");
        }
        let added: HashSet<&UserId> = add.iter().collect();
        if let Some(i) = remove.iter().position(|id| added.contains(id)) {
            self.fault(
                format!("{}[{i}]", EDITS[1]),
                format!("is {}, whom {} names too; name each user once", remove[i], EDITS[0]),
            );
        }
        AccessEdit::requested(is_private, add, remove).into()
    }

    /// Takes the fields of the change of access by filter or of a rule.
    pub(super) fn private_target(&mut self) -> Target {
        let is_private = self.boolean("isPrivate");
        self.target(is_private, "managerList")
    }

    /// Takes a filter as an object. The object also has `filterValue`, which other endpoints have in the query.
    pub(super) fn filter_object(&mut self, name: &str) -> UnresolvedFilter {
        let meaning = match self.encoding {
            Encoding::Json => "an object such as {\"tags\":[\"vip\"]}, or {} for every contact".to_owned(),
            Encoding::Form | Encoding::Query => {
                format!("members such as {name}[tags][]=vip, or {name}[contactListView]=All for every contact")
            }
        };
        let Some(mut inner) = self.object(name, &meaning) else { return UnresolvedFilter::default() };
        let filter_value = inner.filter_value("filterValue");
        let access = inner.access_criteria();
        let filter = inner.filter(filter_value.as_deref(), access, Blank::Refused);
        self.absorb(inner);
        filter
    }

    /// Takes words of the display name, as one text of at most [`MAX_FILTER_VALUE_BYTES`]. A longer text is a fault,
    /// and only its beginning is returned, because the time to find its distinct words grows with the square of their
    /// number.
    pub(super) fn filter_value(&mut self, name: &str) -> Option<String> {
        let mut text = self.text_of(name, &self.encoding.example("words of the display name", "anna riga"))?;
        if text.len() > MAX_FILTER_VALUE_BYTES {
            self.fault(name, too_long_filter_value(text.len()));
            text.truncate(text.floor_char_boundary(MAX_FILTER_VALUE_BYTES));
        }
        Some(text)
    }

    /// Takes a change of access as an object. A missing object is a fault and gives `None`.
    pub(super) fn target_object(&mut self, name: &str) -> Option<Target> {
        let meaning = match self.encoding {
            Encoding::Json => format!("an object such as {{\"isPrivate\":true,\"managerList\":[\"{A_UUID}\"]}}"),
            Encoding::Form | Encoding::Query => {
                format!("members such as {name}[isPrivate]=true and {name}[managerList][]={A_UUID}")
            }
        };
        let mut inner = self.object(name, &meaning)?;
        let target = inner.private_target();
        self.absorb(inner);
        Some(target)
    }

    pub(super) fn portal(&mut self, name: &str) -> Option<PortalId> {
        let meaning = self.encoding.example("the portal's identifier", "acme");
        self.check_present(name, &meaning);
        let text = self.text_of(name, &meaning)?;
        match text.parse() {
            Ok(portal) => Some(portal),
            Err(fault) => {
                self.fault(name, format!("{fault}; it is \"{}\"", shown(&text)));
                None
            }
        }
    }

    pub(super) fn idempotency_key(&mut self, name: &str) -> Option<String> {
        let key = self.text_of(name, "a text in quotes that is new for each run, such as its date")?;
        if key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY_BYTES || !key.bytes().all(|b| b.is_ascii_graphic()) {
            let message = format!(
                "must be 1 to {MAX_IDEMPOTENCY_KEY_BYTES} visible ASCII characters without spaces; it is \"{}\"",
                shown(&key)
            );
            self.fault(name, message);
        }
        Some(key)
    }

    /// Records a fault if the field names a contact other than `contact`, the contact of the path.
    pub(super) fn check_contact(&mut self, name: &str, contact: ContactId) {
        let Some(value) = self.one(name, |_| None) else { return };
        if contact_id(&value) != Some(contact) {
            self.wrong(name, &format!("{contact}, the contact of the path, or be left out"), &value);
        }
    }

    /// Takes the identifiers of contacts: one or an array, without duplicates, in the order of first mention.
    pub(super) fn contacts(&mut self, name: &str) -> Vec<ContactId> {
        self.check_present(name, "the identifiers of the contacts, such as [5,7], or one alone");
        let Some(value) = self.object.remove(name) else { return Vec::new() };
        let (values, is_alone) = match value {
            // Duplicates count once, so the limit is checked after the loop.
            Value::Array(values) => (values, false),
            Value::String(text) if self.encoding.is_text() && text.is_empty() => (Vec::new(), false),
            Value::Number(_) | Value::String(_) => (vec![value], true),
            other => {
                self.wrong(name, "an array of whole numbers, or one whole number", &other);
                return Vec::new();
            }
        };
        if values.is_empty() {
            self.fault(name, "must name at least one contact; it is empty");
        }
        let (mut contacts, mut seen) = (Vec::new(), HashSet::new());
        for (i, value) in values.into_iter().enumerate() {
            match contact_id(&value) {
                Some(contact) if seen.insert(contact) => contacts.push(contact),
                Some(_) => {}
                None => {
                    let field = if is_alone { name.to_owned() } else { format!("{name}[{i}]") };
                    self.wrong(field, &format!("a whole number from 1 to {}", ContactId::MAX), &value);
                }
            }
            // Stop early, because a body can have half a million wrong values.
            if self.faults.len() > MAX_FAULTS {
                break;
            }
        }
        if contacts.len() > MAX_NAMED_CONTACTS {
            let message = format!(
                "names {} contacts; at most {MAX_NAMED_CONTACTS} are allowed, so make several calls or use a filter",
                contacts.len()
            );
            self.fault(name, message);
        }
        contacts
    }

    /// Takes tags, trimmed, folded and without duplicates, in the order of first mention.
    pub(super) fn tags(&mut self, name: &str) -> Vec<String> {
        let mut tags: Vec<String> = Vec::new();
        for (i, value) in self.array(name, "strings", WhenAbsent::Any).into_iter().enumerate() {
            let field = format!("{name}[{i}]");
            let Some(text) = value.as_str() else {
                self.wrong(field, "a string", &value);
                continue;
            };
            match checked_tag(text) {
                Ok(tag) if tags.contains(&tag) => {}
                Ok(tag) => tags.push(tag),
                Err(message) => self.fault(field, message),
            }
        }
        tags
    }

    /// Takes a number or an array of numbers, without duplicates; an empty result means any.
    pub(super) fn any_of(&mut self, name: &str) -> Vec<i32> {
        let is_alone = matches!(self.object.get(name), Some(Value::Number(_)));
        let values = match is_alone {
            true => self.object.remove(name).into_iter().collect(),
            false => self.array(name, "whole numbers, or one whole number", WhenAbsent::Any),
        };
        let mut ids = Vec::new();
        let mut any = false;
        for (i, value) in values.into_iter().enumerate() {
            let value = self.number_of(value);
            match whole(&value).and_then(|number| i32::try_from(number).ok()) {
                // On ONLYOFFICE's reference pages a negative number means "any", and the other numbers of the array
                // have no effect.
                Some(id) if id < 0 => any = true,
                Some(id) if ids.contains(&id) => {}
                Some(id) => ids.push(id),
                None => {
                    let field = if is_alone { name.to_owned() } else { format!("{name}[{i}]") };
                    self.wrong(field, "a whole number from -2147483648 to 2147483647", &value);
                }
            }
        }
        if any { Vec::new() } else { ids }
    }

    pub(super) fn list_view(&mut self, name: &str) -> ListView {
        let Some(value) = self.one(name, whole_number) else { return ListView::default() };
        let found = ListView::ALL.into_iter().find(|view| match &value {
            Value::Number(_) => whole(&value) == Some(view.number()),
            Value::String(text) => text.eq_ignore_ascii_case(view.name()),
            _ => false,
        });
        found.unwrap_or_else(|| {
            self.wrong(name, "0 or \"All\", 1 or \"Company\", 2 or \"Person\", 3 or \"WithOpportunity\"", &value);
            ListView::default()
        })
    }

    pub(super) fn date(&mut self, name: &str, edge: Edge) -> Option<GivenDate> {
        let is_text = self.encoding.is_text();
        match self.one(name, |_| None)? {
            Value::String(text) => {
                let repaired = if is_text { with_plus(&text) } else { Cow::Borrowed(text.as_str()) };
                match LocalEdge::parse(&repaired, edge) {
                    Ok(edge) => Some(GivenDate { field: self.path.clone() + name, text, edge }),
                    Err(fault) => {
                        self.fault(name, wrong_date(fault, &text));
                        None
                    }
                }
            }
            other => {
                let expected = match self.encoding {
                    Encoding::Json => "a date in quotes, such as \"2020-12-08\" or \"2020-12-08T17:37:04Z\"",
                    Encoding::Form | Encoding::Query => "a date, such as 2020-12-08 or 2020-12-08T17:37:04Z",
                };
                self.wrong(name, expected, &other);
                None
            }
        }
    }
}
