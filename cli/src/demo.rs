//! The demo portal: built from Northwind's customers, employees and orders (`data/`), by rules that are easy to check.
//!
//! | in the portal | source |
//! | --- | --- |
//! | contacts 1 to 91 | the customers as companies, in the order of their file |
//! | contacts 92 to 182 | their contact persons, in the same order |
//! | users | the employees, with addresses at `northwind.example`; Andrew Fuller, head of sales, is the administrator |
//! | stage | Hot from 15 orders, Warm from 5 orders, Cold from 1 order, no stage without orders |
//! | type | the department that buys, by the contact person's title |
//! | tags | country, region and city; `best customer` from 19 orders, `no orders` without any |
//! | creation date and creator | date and employee of the customer's first order |
//! | in an opportunity | the customer ordered in April 1998 or later, the last quarter of the orders |
//! | access of a Hot customer | private to the employees with at least three of its orders |
//! | access of a customer without orders | everyone may see, only the administrator may edit |
//! | access of all other customers | public |
//!
//! A contact person gets the stage, type, tags and access of the company.

use std::collections::{BTreeMap, HashMap};

use jiff::tz::TimeZone;
use models::access::{Access, ShareType};
use models::contact::{Address, CommonData, ContactRecord, Employee, ListItem};
use models::directory::User;
use models::import::{Line, PortalLine};
use models::sign_in::NotAnEmail;
use models::values::id::{ContactId, NotAContactId, NotAPortalId, UserId};
use models::values::timestamp::{NotATimestamp, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;

const CUSTOMERS: &str = include_str!("../data/northwind-customers.csv");
const EMPLOYEES: &str = include_str!("../data/northwind-employees.csv");
const ORDERS: &str = include_str!("../data/northwind-orders.csv");

/// Andrew Fuller, Vice President Sales: the portal's administrator.
pub(crate) const ADMINISTRATOR: UserId = user_id(2);
/// Nancy Davolio, Sales Representative: an ordinary user.
pub(crate) const EMPLOYEE: UserId = user_id(1);

pub(crate) const PORTAL: &str = "northwind";
/// The domain of the employees' e-mail addresses. Names under `example` are reserved (RFC 2606).
const EMAIL_DOMAIN: &str = "northwind.example";
/// The time zone of most employees.
const TIME_ZONE: &str = "America/Los_Angeles";

/// The minimum number of orders, id, title and colour of each stage; the first match wins.
const STAGES: [(usize, i32, &str, &str); 3] =
    [(15, HOT, "Hot", "#c6262e"), (5, 2, "Warm", "#f9a825"), (1, 1, "Cold", "#3689e6")];
const HOT: i32 = 3;

/// The types, by a word of the contact person's title; the first match wins.
const TYPES: [(&str, &str, &str); 5] = [
    ("Owner", "Owner", "The owner buys"),
    ("Sales", "Sales", "The sales department buys"),
    ("Marketing", "Marketing", "The marketing department buys"),
    ("Accounting", "Accounting", "The accounting department buys"),
    ("Order", "Ordering", "The ordering department buys"),
];
const TYPE_COLOR: &str = "#667885";

/// The minimum number of orders of a customer with the tag `best customer`.
const BEST_CUSTOMER_ORDERS: usize = 19;
/// The minimum number of a Hot customer's orders that put their employee on the customer's access list.
const ACCESS_ORDERS: usize = 3;
/// The first day of the last quarter with orders.
const LAST_QUARTER: &str = "1998-04-01";
/// The creation date of customers without an order: the Monday of the week of the first order.
const CREATED_WITHOUT_ORDER: &str = "1996-07-01";

const INDUSTRY: &str = "Food and beverages";

// ONLYOFFICE's numbers of InfoType and Category.
const INFO_PHONE: i32 = 0;
const PHONE_WORK: i32 = 1;
const PHONE_FAX: i32 = 3;
const ADDRESS_OFFICE: i32 = 2;
const ADDRESS_WORK: i32 = 5;

/// The error of demo data that is not a valid portal. The data is part of the program, so only a change of the program
/// can cause this error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// A row of a file does not match its columns.
    #[error("northwind-{file}.csv cannot be read")]
    Csv {
        /// The name of the file.
        file: &'static str,
        /// The cause.
        source: csv::Error,
    },
    /// A date is invalid.
    #[error("the date {date:?} {source}")]
    Date {
        /// The invalid text.
        date: String,
        /// The cause.
        source: NotATimestamp,
    },
    /// The portal's name is invalid.
    #[error("the portal's name {0}")]
    Portal(#[from] NotAPortalId),
    /// An employee's e-mail address is invalid.
    #[error("an employee's e-mail address {0}")]
    Email(#[from] NotAnEmail),
    /// The contact ids are exhausted.
    #[error("a contact's id {0}")]
    Contact(#[from] NotAContactId),
    /// The time zone is not in the time zone database.
    #[error("the portal's time zone is unknown")]
    TimeZone(#[from] jiff::Error),
    /// A contact person's title contains no word of any type.
    #[error("the title {0:?} belongs to no type")]
    Title(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Customer {
    #[serde(rename = "customerID")]
    id: String,
    company_name: String,
    contact_name: String,
    contact_title: String,
    address: String,
    city: String,
    region: String,
    postal_code: String,
    country: String,
    phone: String,
    fax: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EmployeeRow {
    #[serde(rename = "employeeID")]
    number: u32,
    last_name: String,
    first_name: String,
    title: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    #[serde(rename = "customerID")]
    customer: String,
    #[serde(rename = "employeeID")]
    employee: u32,
    order_date: String,
}

/// A summary of a customer's orders.
#[derive(Default)]
struct History {
    orders: usize,
    /// The day and the employee of the first order.
    first: Option<(String, u32)>,
    /// The day of the last order.
    last: String,
    /// The number of orders of each employee.
    by_employee: BTreeMap<u32, usize>,
}

/// Returns the import lines: the portal, its users, stages and types, then its contacts.
pub(crate) fn lines() -> Result<Vec<Line>, DemoError> {
    let time_zone = TimeZone::get(TIME_ZONE)?;
    let customers: Vec<Customer> = rows("customers", CUSTOMERS)?;
    let employees: Vec<EmployeeRow> = rows("employees", EMPLOYEES)?;
    let histories = histories(rows("orders", ORDERS)?);

    let mut lines =
        vec![Line::Portal(PortalLine { id: PORTAL.parse()?, time_zone: Some(time_zone.clone()), shards: Some(1) })];
    for row in &employees {
        lines.push(Line::User(user(row)?, None));
    }
    lines.extend(stages().map(Line::Stage));
    lines.extend(types().map(Line::Type));
    let none = History::default();
    let of_kind = |kind: Kind| customers.iter().map(move |customer| (kind, customer));
    for (id, (kind, customer)) in (1_i64..).zip(of_kind(Kind::Company).chain(of_kind(Kind::Person))) {
        let history = histories.get(&customer.id).unwrap_or(&none);
        let record = contact(id.try_into()?, kind, customer, history, &time_zone)?;
        let access = access(record.stage, history);
        lines.push(Line::Contact(Box::new(record), access));
    }
    Ok(lines)
}

fn rows<T: DeserializeOwned>(file: &'static str, text: &str) -> Result<Vec<T>, DemoError> {
    let rows = csv::Reader::from_reader(text.as_bytes()).into_deserialize().collect::<Result<_, _>>();
    rows.map_err(|source| DemoError::Csv { file, source })
}

/// Normalizes the white space of a value; `NULL` becomes empty.
fn text(value: &str) -> String {
    if value == "NULL" { String::new() } else { value.split_whitespace().collect::<Vec<_>>().join(" ") }
}

/// Returns the id of an employee, which is the same each time the demo is loaded. Employee 1 is
/// 4e6f7274-6877-8e64-8000-000000000001. UUIDs of version 8 are for custom schemes.
const fn user_id(number: u32) -> UserId {
    const NAMESPACE: u128 = 0x4e6f_7274_6877_8e64_8000_0000_0000_0000;
    UserId::from_u128(NAMESPACE | number as u128)
}

fn user(row: &EmployeeRow) -> Result<User, DemoError> {
    let id = user_id(row.number);
    let login = format!("{}.{}", row.first_name, row.last_name).to_lowercase();
    let email = format!("{login}@{EMAIL_DOMAIN}").parse()?;
    Ok(User {
        employee: Employee {
            id,
            display_name: format!("{} {}", row.first_name, row.last_name),
            title: row.title.clone(),
            avatar_small: String::new(),
            profile_url: format!("/Products/People/Profile.aspx?user={login}"),
        },
        is_admin: id == ADMINISTRATOR,
        email: Some(email),
        tokens_valid_from: None,
    })
}

fn stages() -> impl Iterator<Item = ListItem> {
    STAGES.into_iter().rev().map(|(orders, id, title, color)| ListItem {
        id,
        title: title.to_owned(),
        description: format!("{orders} or more orders"),
        color: color.to_owned(),
        sort_order: id,
    })
}

fn types() -> impl Iterator<Item = ListItem> {
    (1..).zip(TYPES).map(|(id, (_, title, description))| ListItem {
        id,
        title: title.to_owned(),
        description: description.to_owned(),
        color: TYPE_COLOR.to_owned(),
        sort_order: id,
    })
}

/// Returns the history of each customer with orders.
fn histories(orders: Vec<Order>) -> HashMap<String, History> {
    let mut histories: HashMap<String, History> = HashMap::new();
    for order in orders {
        // All times in the files are midnight, so the day is enough.
        let day = order.order_date.split(' ').next().unwrap_or_default().to_owned();
        let history = histories.entry(order.customer).or_default();
        history.orders += 1;
        *history.by_employee.entry(order.employee).or_default() += 1;
        if history.last < day {
            history.last.clone_from(&day);
        }
        if history.first.as_ref().is_none_or(|(first, _)| day < *first) {
            history.first = Some((day, order.employee));
        }
    }
    histories
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Company,
    Person,
}

fn contact(
    id: ContactId,
    kind: Kind,
    customer: &Customer,
    history: &History,
    zone: &TimeZone,
) -> Result<ContactRecord, DemoError> {
    let is_company = kind == Kind::Company;
    let (day, create_by) = match &history.first {
        Some((day, employee)) => (day.as_str(), user_id(*employee)),
        None => (CREATED_WITHOUT_ORDER, ADMINISTRATOR),
    };
    let created = Timestamp::parse(day, zone).map_err(|source| DemoError::Date { date: day.to_owned(), source })?;
    let stage = STAGES.iter().find(|(orders, ..)| history.orders >= *orders).map_or(0, |(_, id, ..)| *id);
    let contact_type = (1..)
        .zip(TYPES)
        .find_map(|(id, (word, ..))| customer.contact_title.contains(word).then_some(id))
        .ok_or_else(|| DemoError::Title(customer.contact_title.clone()))?;
    let orders = match (&history.first, history.orders) {
        (None, _) => "no orders".to_owned(),
        (Some((day, _)), 1) => format!("1 order, on {day}"),
        (Some((day, _)), orders) => format!("{orders} orders, from {day} to {}", history.last),
    };
    let company = text(&customer.company_name);
    let address = address(kind, customer);
    Ok(ContactRecord {
        id,
        display_name: if is_company { company.clone() } else { text(&customer.contact_name) },
        first_name: String::new(),
        last_name: String::new(),
        company_name: String::new(),
        created,
        create_by: Some(create_by),
        is_company,
        has_opportunity: history.last.as_str() >= LAST_QUARTER,
        stage,
        contact_type,
        tags: tags(&address, history),
        about: match kind {
            Kind::Company => format!("Customer {}: {orders}", customer.id),
            Kind::Person => format!("{} at {company}", customer.contact_title),
        },
        industry: INDUSTRY.to_owned(),
        addresses: vec![address],
        common_data: numbers(id, customer),
        custom_fields: Vec::new(),
        task_count: 0,
        have_late_tasks: false,
        small_foto_url: String::new(),
        medium_foto_url: String::new(),
        currency: None,
    })
}

fn address(kind: Kind, customer: &Customer) -> Address {
    let (street, city) = (text(&customer.address), text(&customer.city));
    // In one row the house number is at the start of the city, not at the end of the street.
    let name = city.trim_start_matches(|c: char| c.is_ascii_digit());
    let house_number = &city[..city.len() - name.len()];
    let (category, category_name) = match kind {
        Kind::Company => (ADDRESS_OFFICE, "Office"),
        Kind::Person => (ADDRESS_WORK, "Work"),
    };
    Address {
        street: if house_number.is_empty() { street } else { format!("{street}, {house_number}") },
        city: name.to_owned(),
        state: text(&customer.region),
        zip: text(&customer.postal_code),
        country: text(&customer.country),
        category,
        category_name: category_name.to_owned(),
        is_primary: true,
    }
}

fn tags(address: &Address, history: &History) -> Vec<String> {
    let earned = match history.orders {
        0 => "no orders",
        BEST_CUSTOMER_ORDERS.. => "best customer",
        _ => "",
    };
    let all = [address.country.as_str(), address.state.as_str(), address.city.as_str(), earned];
    all.into_iter().filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
}

fn numbers(contact: ContactId, customer: &Customer) -> Vec<CommonData> {
    // Each contact reserves two identifiers, even without a fax.
    let last_id = 2 * contact.get();
    [(last_id - 1, PHONE_WORK, "Work", &customer.phone), (last_id, PHONE_FAX, "Fax", &customer.fax)]
        .into_iter()
        .map(|(id, category, name, number)| CommonData {
            info_type: INFO_PHONE,
            category,
            data: text(number),
            category_name: name.to_owned(),
            is_primary: category == PHONE_WORK,
            id,
        })
        .filter(|number| !number.data.is_empty())
        .collect()
}

fn access(stage: i32, history: &History) -> Access {
    match stage {
        HOT => {
            let team = history.by_employee.iter().filter(|(_, orders)| **orders >= ACCESS_ORDERS);
            Access { share: ShareType::None, managers: team.map(|(employee, _)| user_id(*employee)).collect() }
        }
        0 => Access { share: ShareType::Read, managers: vec![ADMINISTRATOR] },
        _ => Access::UNRECORDED,
    }
}

#[cfg(test)]
mod tests;
