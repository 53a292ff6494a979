//! Cost of writing a page of 1000 contacts in each shape.

use std::borrow::Cow;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use models::access::ShareType;
use models::answer::{Envelope, Format, ListPage, Shape, list};
use models::contact::{Address, CommonData, Contact, Currency, CustomField, Employee, ListItem};
use models::limits::{MAX_ANSWER_BYTES, MAX_PAGE};
use models::values::id::{ContactId, UserId};
use models::values::timestamp::Timestamp;

/// Returns a contact with as many values as the contact of ONLYOFFICE's reference pages.
fn contact(id: i32) -> Contact<'static> {
    let mike = Employee {
        display_name: "Mike Zanyatski".to_owned(),
        title: "Manager".to_owned(),
        avatar_small: "url to small avatar".to_owned(),
        profile_url: "/Products/People/Profile.aspx?user=administrator".to_owned(),
        ..Employee::departed(UserId::NIL)
    };
    let item = ListItem {
        id,
        title: "Title".to_owned(),
        description: "Description".to_owned(),
        color: "#a7fc00".to_owned(),
        sort_order: 1,
    };
    Contact {
        addresses: vec![Address {
            street: "Lubanas st. 125a-25".to_owned(),
            zip: "LV-1021".to_owned(),
            country: "Latvia".to_owned(),
            category_name: "Home".to_owned(),
            is_primary: true,
            ..Address::default()
        }],
        create_by: Some(Cow::Owned(mike.clone())),
        created: Timestamp::from_ticks(16_074_490_245_916_406 + i64::from(id)),
        about: "About".to_owned(),
        industry: "Research & Development".to_owned(),
        contact_status: Some(item.clone()),
        contact_type: Some(item),
        common_data: vec![CommonData {
            info_type: 1,
            data: "support@onlyoffice.com".to_owned(),
            category_name: "Home".to_owned(),
            is_primary: true,
            id,
            ..CommonData::default()
        }],
        custom_fields: vec![CustomField {
            entity_id: id,
            label: "Birthdate".to_owned(),
            field_value: "2020-12-08T17:37:04.5916406Z".to_owned(),
            field_type: 5,
            position: 10,
            mask: String::new(),
            id,
        }],
        tags: vec!["Tag1".to_owned(), "Tag2".to_owned()],
        task_count: 1,
        have_late_tasks: true,
        id: ContactId::try_from(i64::from(id)).unwrap_or(ContactId::MIN),
        small_foto_url: "url to foto".to_owned(),
        medium_foto_url: "url to foto".to_owned(),
        display_name: "Tadjeddine Bachir".to_owned(),
        is_company: false,
        access_list: vec![Cow::Owned(mike)],
        is_private: true,
        is_shared: false,
        share_type: ShareType::None,
        currency: Some(Currency {
            title: "Chinese Yuan".to_owned(),
            symbol: "¥".to_owned(),
            abbreviation: "CNY".to_owned(),
            culture_name: "CN".to_owned(),
            is_convertable: true,
            is_basic: false,
        }),
        can_edit: true,
        can_delete: true,
        first_name: Some("Tadjeddine".to_owned()),
        last_name: Some("Bachir".to_owned()),
        company_name: None,
    }
}

fn wire(criterion: &mut Criterion) {
    let contacts: Vec<Contact<'_>> = (1..).take(MAX_PAGE).map(contact).collect();
    let mut group = criterion.benchmark_group("wire/1000-contacts");
    group.measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(contacts.len() as u64));
    group.bench_function("json-plain-serde", |b| b.iter(|| serde_json::to_vec(black_box(&contacts))));
    for (name, format, envelope) in [
        ("json-list", Format::Json, Envelope::Documents),
        ("xml-list", Format::Xml, Envelope::Documents),
        ("json-suffix", Format::Json, Envelope::OnlyOffice),
        ("xml-suffix", Format::Xml, Envelope::OnlyOffice),
    ] {
        let (shape, page) = (Shape { format, envelope }, ListPage { covered: contacts.len(), ..ListPage::default() });
        group.bench_function(name, |b| b.iter(|| list(shape, black_box(&contacts), page, None, MAX_ANSWER_BYTES)));
    }
    group.finish();
}

criterion_group!(benches, wire);
criterion_main!(benches);
