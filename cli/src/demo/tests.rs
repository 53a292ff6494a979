use std::collections::{BTreeSet, HashSet};

use models::access::Caller;

use super::*;

const CUSTOMERS: usize = 91;

fn contacts() -> Vec<(ContactRecord, Access)> {
    let contact = |line| match line {
        Line::Contact(record, access) => Some((*record, access)),
        _ => None,
    };
    lines().unwrap().into_iter().filter_map(contact).collect()
}

/// Returns the company and the contact person of a customer.
fn customer(company: &str) -> [(ContactRecord, Access); 2] {
    let contacts = contacts();
    let at = contacts.iter().position(|(record, _)| record.display_name == company).unwrap();
    [contacts[at].clone(), contacts[at + CUSTOMERS].clone()]
}

#[test]
fn each_customer_is_a_company_and_a_person() {
    let contacts = contacts();
    let ids: Vec<i32> = contacts.iter().map(|(record, _)| record.id.get()).collect();
    assert_eq!(ids, (1..=182).collect::<Vec<_>>());
    for (index, (record, _)) in contacts.iter().enumerate() {
        assert_eq!(record.is_company, index < CUSTOMERS, "{}", record.display_name);
    }
    let name = |index: usize| contacts[index].0.display_name.as_str();
    assert_eq!((name(0), name(91)), ("Alfreds Futterkiste", "Maria Anders"));
    assert_eq!((name(90), name(181)), ("Wolski Zajazd", "Zbyszek Piestrzeniewicz"));
}

#[test]
fn every_reference_is_in_the_directory() {
    let (mut users, mut stages, mut types, mut portals) = (HashSet::new(), HashSet::from([0]), HashSet::new(), 0);
    for line in lines().unwrap() {
        match line {
            Line::Portal(portal) => {
                portals += 1;
                assert_eq!((portal.id.as_str(), portal.shards), (PORTAL, Some(1)));
            }
            Line::User(user, _) => assert!(users.insert(user.employee.id), "{}", user.employee.display_name),
            Line::Stage(item) => assert!(stages.insert(item.id), "{}", item.title),
            Line::Type(item) => assert!(types.insert(item.id), "{}", item.title),
            Line::Contact(record, access) => {
                assert!(stages.contains(&record.stage) && types.contains(&record.contact_type), "{record:?}");
                assert!(users.contains(&record.create_by.unwrap()), "{record:?}");
                assert!(access.managers.iter().all(|manager| users.contains(manager)), "{access:?}");
            }
            Line::Token(_) | Line::DeleteContact(_) | Line::DeleteUser(_) => panic!("the demo has none"),
        }
    }
    assert_eq!((portals, users.len(), stages.len(), types.len()), (1, 9, 4, 5));
    assert!(users.contains(&ADMINISTRATOR) && users.contains(&EMPLOYEE));
}

#[test]
fn stages_and_types_are_all_in_use() {
    let contacts = contacts();
    let in_stage = |stage: i32| contacts.iter().filter(|(record, _)| record.stage == stage).count();
    assert_eq!([0, 1, 2, 3].map(in_stage), [4, 32, 122, 24]);
    let types: BTreeSet<i32> = contacts.iter().map(|(record, _)| record.contact_type).collect();
    assert_eq!(types, (1..6).collect());
}

#[test]
fn lines_are_the_same_each_time() {
    assert_eq!(lines().unwrap(), lines().unwrap());
}

#[test]
fn andrew_fuller_is_the_only_administrator() {
    let user = |line| match line {
        Line::User(user, _) => Some(user),
        _ => None,
    };
    let users: Vec<User> = lines().unwrap().into_iter().filter_map(user).collect();
    let with_id = |id: UserId| users.iter().find(|user| user.employee.id == id).unwrap();
    let administrator = with_id(ADMINISTRATOR);
    assert_eq!(administrator.employee.display_name, "Andrew Fuller");
    assert_eq!(administrator.employee.title, "Vice President Sales");
    assert_eq!(users.iter().filter(|user| user.is_admin).collect::<Vec<_>>(), [administrator]);
    assert_eq!(with_id(EMPLOYEE).employee.display_name, "Nancy Davolio");
    assert_eq!(with_id(EMPLOYEE).email.as_ref().unwrap().as_str(), "nancy.davolio@northwind.example");
    assert_eq!(EMPLOYEE.to_string(), "4e6f7274-6877-8e64-8000-000000000001");
}

#[test]
fn the_employee_sees_some_private_contacts_and_not_others() {
    let caller = Caller { user: EMPLOYEE, is_admin: false };
    let private: Vec<_> = contacts().into_iter().filter(|(_, access)| access.share.is_private()).collect();
    let (visible, hidden): (Vec<_>, Vec<_>) = private.iter().partition(|(_, access)| caller.may_see(access));
    assert_eq!((visible.len(), hidden.len()), (14, 10));
    assert!(private.iter().all(|(record, access)| record.stage == HOT && !access.managers.is_empty()));
}

#[test]
fn contact_person_gets_the_fields_of_the_company() {
    let contacts = contacts();
    for ((company, company_access), (person, person_access)) in contacts[..CUSTOMERS].iter().zip(&contacts[CUSTOMERS..])
    {
        assert_eq!(company_access, person_access, "{}", company.display_name);
        assert_eq!((company.stage, company.created, &company.tags), (person.stage, person.created, &person.tags));
    }
}

#[test]
fn customer_without_orders_is_visible_to_all_and_editable_by_the_administrator() {
    for name in ["Paris spécialités", "FISSA Fabrica Inter. Salchichas S.A."] {
        for (record, access) in customer(name) {
            assert_eq!((record.stage, record.has_opportunity), (0, false), "{name}");
            assert_eq!(record.created.to_string(), "1996-07-01T07:00:00.0000000Z");
            assert_eq!(record.tags.last().unwrap(), "no orders");
            assert_eq!(access, Access { share: ShareType::Read, managers: vec![ADMINISTRATOR] });
        }
    }
}

#[test]
fn customer_follows_from_its_row_and_its_orders() {
    let [(company, access), (person, _)] = customer("Around the Horn");
    assert_eq!(company.created.to_string(), "1996-11-15T08:00:00.0000000Z");
    assert_eq!(company.tags, ["UK", "London"]);
    assert_eq!(company.about, "Customer AROUT: 13 orders, from 1996-11-15 to 1998-04-10");
    assert_eq!((company.stage, company.has_opportunity, access), (2, true, Access::UNRECORDED));
    let numbers = company.common_data.iter().map(|number| (&*number.category_name, &*number.data));
    assert_eq!(numbers.collect::<Vec<_>>(), [("Work", "(171) 555-7788"), ("Fax", "(171) 555-6750")]);
    assert_eq!((&*person.display_name, &*person.about), ("Thomas Hardy", "Sales Representative at Around the Horn"));
}

#[test]
fn house_number_is_not_part_of_the_city() {
    let [(company, _), _] = customer("Que Delícia");
    assert_eq!(company.addresses[0].street, "Rua da Panificadora, 12");
    assert_eq!(company.tags, ["Brazil", "RJ", "Rio de Janeiro"]);
}

#[test]
fn no_value_is_the_text_null() {
    assert!(!format!("{:?}", lines().unwrap()).contains("NULL"));
}
