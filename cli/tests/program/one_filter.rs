//! Lists and changes of access have one filter: a list, a dry run and a run count the same contacts.

use serde_json::{Map, Value, json};

use super::{Server, TestResult, nowhere, request, strs, tokens_of_the_demo};

/// Nancy Davolio of the demo portal.
const NANCY: &str = "4e6f7274-6877-8e64-8000-000000000001";
/// No user of the portal.
const NOBODY: &str = "9924256a-739c-462b-af15-e652a3b1b6eb";
/// The identifier that selects contacts without a manager.
const NIL: &str = "00000000-0000-0000-0000-000000000000";

/// The place of a field in a change by filter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Body,
    Query,
}

/// Values of every field of a filter. Each value selects some contacts of the demo portal, but not all.
const VALUES: [(Place, &str, &str); 15] = [
    (Place::Body, "tags", "Germany"),
    (Place::Body, "tags", "Best Customer"),
    (Place::Body, "contactStage", "3"),
    (Place::Body, "contactStage", "0"),
    (Place::Body, "contactType", "1"),
    (Place::Body, "contactListView", "company"),
    (Place::Body, "contactListView", "withOpportunity"),
    (Place::Body, "fromDate", "1996-09-01"),
    (Place::Body, "toDate", "1996-12-31"),
    (Place::Query, "filterValue", "ma"),
    (Place::Query, "isShared", "true"),
    (Place::Query, "isShared", "false"),
    (Place::Query, "responsibleid", NANCY),
    (Place::Query, "responsibleid", NOBODY),
    (Place::Query, "responsibleid", NIL),
];

/// The contacts that a list and the two kinds of change count.
#[derive(Debug, PartialEq, Eq)]
struct Counted {
    listed: u64,
    previewed: u64,
    matched: u64,
}

struct Demo {
    server: Server,
    token: String,
}

impl Demo {
    fn call(&self, method: &str, path: &str, body: &str) -> TestResult<super::Reply> {
        let headers = [("Authorization", self.token.as_str()), ("Content-Type", "application/json")];
        let headers = if body.is_empty() { &headers[..1] } else { &headers[..] };
        let reply = request(self.server.port, method, &format!("/api/2.0/crm/{path}"), headers, body)?;
        if reply.status == 200 { Ok(reply) } else { Err(format!("{method} {path} {body}: {reply:?}").into()) }
    }

    /// Counts the contacts with these values by a list, by a dry run, and by a run that changes nothing.
    fn count(&self, values: &[(Place, &str, &str)]) -> TestResult<Counted> {
        let query = |of: &dyn Fn(Place) -> bool| {
            let pairs = values.iter().filter(|(place, ..)| of(*place));
            pairs.map(|(_, name, value)| format!("&{name}={}", value.replace(' ', "%20"))).collect::<String>()
        };
        let mut body = Map::new();
        for (_, name, value) in values.iter().filter(|(place, ..)| *place == Place::Body) {
            let value = value.parse().map_or_else(|_| json!(value), |number: i64| json!(number));
            body.insert((*name).to_owned(), if *name == "tags" { json!([value]) } else { value });
        }
        body.insert("removeManagers".to_owned(), json!([NOBODY]));
        let body = Value::Object(body).to_string();
        let number = |reply: &super::Reply, name: &str| -> TestResult<u64> {
            Ok(reply.header(name).ok_or(format!("no {name}"))?.parse()?)
        };
        let list = self.call("GET", &format!("contact/filter?count=1{}", query(&|_| true)), "")?;
        let in_query = query(&|place| place == Place::Query);
        let preview = self.call("PUT", &format!("contact/filter/access?count=1&dryRun=true{in_query}"), &body)?;
        let run = self.call("PUT", &format!("contact/filter/access?count=1{in_query}"), &body)?;
        let job = self.call("GET", &format!("access/jobs/{}", run.header("x-job-id").ok_or("no job")?), "")?;
        let job = &job.json()?["response"];
        assert_eq!((&job["updated"], &job["failed"]), (&json!(0), &json!(0)), "{job}");
        Ok(Counted {
            listed: number(&list, "x-total-count")?,
            previewed: number(&preview, "x-matched-count")?,
            matched: job["matched"].as_u64().ok_or("no number of matches")?,
        })
    }
}

#[test]
fn list_dry_run_and_run_select_the_same_contacts_for_every_pair_of_fields() -> TestResult {
    let engine = nowhere();
    let server = Server::start(&[&strs(&engine)[..], &["--demo"]].concat())?;
    let [administrator, employee] = tokens_of_the_demo(&server)?.map(str::to_owned);
    let mut demo = Demo { server, token: String::new() };
    for (token, all) in [(administrator, 182), (employee, 0)] {
        demo.token = token;
        let mut found = 0;
        for (i, one) in VALUES.iter().enumerate() {
            for other in VALUES.iter().skip(i).filter(|other| other.1 != one.1 || *other == one) {
                let values = if one == other { vec![*one] } else { vec![*one, *other] };
                let names: Vec<_> = values.iter().map(|(_, name, value)| format!("{name}={value}")).collect();
                let counted = demo.count(&values)?;
                let Counted { listed, .. } = counted;
                assert_eq!(counted, Counted { listed, previewed: listed, matched: listed }, "{names:?}");
                assert!(all == 0 || listed < all, "{names:?} selects all contacts");
                found += usize::from(listed > 0);
            }
        }
        assert!(found > 60, "only {found} pairs select a contact");
    }
    Ok(())
}
