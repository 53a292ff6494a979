use std::collections::BTreeSet;

use jiff::SignedDuration;
use lambda_http::http::Method;

use super::*;

/// One failure of each variant, in the order of the variants.
fn one_of_each() -> Vec<Failure> {
    let (contact, rule) = (ContactId::MIN, || "nightly".parse::<RuleName>().unwrap());
    let (operation, source) = ("PutItem", || -> Box<dyn std::error::Error + Send + Sync> { "none".into() });
    vec![
        Failure::Unauthenticated,
        Failure::SignInRefused,
        Failure::CodeRefused,
        Failure::SignInLocked(Locked { wait: SignedDuration::from_secs(1) }),
        Failure::SignInBusy,
        Failure::OriginForbidden,
        Failure::ScopeMissing(Scope::Read),
        Failure::Invalid(Invalid::one("tags", "is wrong")),
        Failure::UnknownManagers { field: "managerList", users: vec![UserId::NIL] },
        Failure::ContactNotFound(contact),
        Failure::EditForbidden(contact),
        Failure::ContactsNotFound(vec![contact]),
        Failure::EditsForbidden(vec![contact]),
        Failure::TooManyManagers(vec![contact]),
        Failure::PreconditionFailed(Unmet::Changed),
        Failure::UnsupportedMediaType { named: String::new() },
        Failure::UnsupportedEncoding(String::new()),
        Failure::BodyTooLarge,
        Failure::RouteNotFound,
        Failure::UserNotFound(UserId::NIL.to_string()),
        Failure::MethodNotAllowed("GET".into()),
        Failure::HostNotAllowed,
        Failure::RequestTimeout,
        Failure::TooManyConnections,
        Failure::UnreadableHead,
        Failure::HeadTooLong,
        Failure::TooManyAffected { would_change: 2, allowed: 1 },
        Failure::TooManyOpenJobs,
        Failure::TooManyPreviews,
        Failure::NotCounted,
        Failure::NotListed,
        Failure::Resharding,
        Failure::JobNotFound(JobId::from_u128(0)),
        Failure::JobNotOver(JobId::from_u128(0)),
        Failure::JobOver(JobId::from_u128(0)),
        Failure::ChangesExpired(JobId::from_u128(0)),
        Failure::NothingToUndo(JobId::from_u128(0)),
        Failure::PreviewNotFound(JobId::from_u128(0)),
        Failure::NotAPreview(JobId::from_u128(0)),
        Failure::PreviewNotFinished(JobId::from_u128(0)),
        Failure::PreviewExpired(JobId::from_u128(0)),
        Failure::RuleNotFound(rule()),
        Failure::RuleForbidden(rule()),
        Failure::RuleContended(rule()),
        Failure::TooManyRules(RuleBound::OfUser),
        Failure::TooManyRules(RuleBound::OfPortal),
        Failure::AdministratorsOnly,
        Failure::ReasonsForbidden,
        Failure::SnapshotNotFound,
        Failure::KeyReused,
        Failure::KeyInUse,
        Failure::Contended(contact),
        Failure::Store(StoreError::Throttled { operation, source: None }),
        Failure::Store(StoreError::ConditionFailed { operation }),
        Failure::Store(StoreError::Contended { operation }),
        Failure::Store(StoreError::Unavailable { operation, source: source() }),
        Failure::Store(StoreError::Refused { operation, source: source() }),
        Failure::Store(StoreError::Corrupt("a reason".into())),
        Failure::Internal(String::new()),
    ]
}

#[test]
fn kinds_lists_exactly_the_kinds_of_all_failures() {
    let made: BTreeSet<(u16, &str)> =
        one_of_each().iter().map(|failure| (failure.status().as_u16(), failure.kind())).collect();
    assert_eq!(made, KINDS.iter().copied().collect());
    assert!(KINDS.is_sorted());
}

#[test]
fn message_for_a_get_never_says_that_nothing_was_changed() {
    for failure in one_of_each() {
        let message = failure.body("request", &Method::GET).message;
        assert!(!message.contains("Nothing was changed"), "{message}");
        assert!(!message.starts_with(char::is_lowercase), "{message}");
    }
}
