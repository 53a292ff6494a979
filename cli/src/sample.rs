//! `crm-access sample`: generates a portal of any size.

use std::io::{self, BufWriter, Write as _};

use fastrand::Rng;
use models::limits::MAX_SHARDS;
use models::values::id::UserId;
use serde_json::{Value, json};

use crate::CommandError;
use crate::args::SampleArgs;

const FIRST: [&str; 12] = [
    "Maria",
    "Ana",
    "Thomas",
    "Christina",
    "Hanna",
    "Frédérique",
    "Martín",
    "Laurence",
    "Elizabeth",
    "Victoria",
    "Patricio",
    "Yang",
];
const LAST: [&str; 12] = [
    "Anders", "Trujillo", "Hardy", "Berglund", "Moos", "Citeaux", "Sommer", "Lebihan", "Lincoln", "Ashworth",
    "Simpson", "Wang",
];
const TRADES: [&str; 6] = ["Foods", "Trading", "Logistics", "Hotels", "Software", "Farms"];
const STAGES: [&str; 5] = ["Cold", "Cool", "Warm", "Hot", "Won"];
const TYPES: [&str; 4] = ["Customer", "Supplier", "Partner", "Competitor"];
/// Tags, each with the percentage of contacts that have it.
const TAGS: [(&str, u8); 6] =
    [("newsletter", 50), ("Europe", 30), ("VIP", 10), ("trade fair", 5), ("key account", 1), ("überfällig", 2)];

/// The token of the sample's administrator. It is public, like the generated data: create secret tokens for a real
/// portal.
const ADMINISTRATOR_TOKEN: &str = "sample-administrator-token-000000000000";

pub(crate) fn run(args: &SampleArgs) -> Result<(), CommandError> {
    if args.contacts < 0 || args.users == 0 || !(1..=MAX_SHARDS).contains(&args.shards) {
        return Err(format!("--contacts is 0 or more, --users 1 or more, --shards 1 to {MAX_SHARDS}").into());
    }
    let mut out = BufWriter::new(io::stdout().lock());
    // A flush in `drop` would lose the error of a full disk.
    match write(args, &mut out).and_then(|()| out.flush()) {
        // A reader that closes the pipe early is no error.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

fn write(args: &SampleArgs, out: &mut impl io::Write) -> io::Result<()> {
    let mut random = Rng::with_seed(args.seed);
    let user = |number: u32| UserId::from_u128(0x5a3e_0000_0000_4000_8000_0000_0000_0000 + u128::from(number));
    let mut line = |value: Value| writeln!(out, "{value}");
    line(json!({"portal": {"Id": args.portal.as_str(), "TimeZone": "Europe/Riga", "Shards": args.shards}}))?;
    for number in 0..args.users {
        let name =
            format!("{} {}", FIRST[number as usize % FIRST.len()], LAST[number as usize / FIRST.len() % LAST.len()]);
        line(json!({"user": {"Id": user(number), "DisplayName": name, "Title": "Manager", "IsAdmin": number == 0}}))?;
    }
    for (kind, titles) in [("stage", STAGES.as_slice()), ("type", TYPES.as_slice())] {
        for (index, title) in titles.iter().enumerate() {
            line(json!({kind: {"id": index + 1, "Title": title, "Color": "#a7fc00", "SortOrder": index}}))?;
        }
    }
    line(
        json!({"token": {"Token": ADMINISTRATOR_TOKEN, "UserId": user(0), "Scopes": ["read", "write"], "Expires": null}}),
    )?;
    for id in 1..=args.contacts {
        line(contact(id, args, &mut random, user))?;
    }
    Ok(())
}

fn contact(id: i32, args: &SampleArgs, random: &mut Rng, user: impl Fn(u32) -> UserId) -> Value {
    let is_company = random.u8(..100) < 40;
    let last = LAST[random.usize(..LAST.len())];
    let name = if is_company {
        format!("{last} {} {id}", TRADES[random.usize(..TRADES.len())])
    } else {
        format!("{} {last} {id}", FIRST[random.usize(..FIRST.len())])
    };
    // Only days 1 to 28 of each month, so that every date is valid.
    let created = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        random.u16(2005..2025),
        random.u8(1..=12),
        random.u8(1..=28),
        random.u8(..24),
        random.u8(..60),
        random.u8(..60)
    );
    let tags: Vec<&str> = TAGS.iter().filter(|(_, share)| random.u8(..100) < *share).map(|(tag, _)| *tag).collect();
    let (stage, kind) = (random.usize(..=STAGES.len()), random.usize(..=TYPES.len()));
    let is_private = random.u8(..100) < 20;
    let managers: Vec<Value> = (0..random.u32(..4)).map(|_| json!({"Id": user(random.u32(..args.users))})).collect();
    json!({"contact": {
        "id": id,
        "DisplayName": name,
        "Created": created,
        "CreateBy": {"Id": user(random.u32(..args.users))},
        "IsCompany": is_company,
        "HasOpportunity": random.u8(..100) < 15,
        "ContactStatus": {"id": stage},
        "ContactType": {"id": kind},
        "Tags": tags,
        "CommonData": [{"InfoType": 1, "Data": format!("contact{id}@example.com"), "CategoryName": "Work", "IsPrimary": true, "id": id}],
        "ShareType": i32::from(!is_private),
        "AccessList": if is_private { managers } else { Vec::new() },
    }})
}
