//! Tests of the pure crate: the rules of access, plans, and the parsing of requests and import lines.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod access;
mod blank_filters;
mod bodies;
mod clients;
mod folding;
mod import_lines;
mod listing;
mod plans;
mod query;
mod requests;
mod rules;
mod selection;
mod sign_in;
mod targets;

/// Compares `text` with the committed file `snapshots/<name>.snap`.
#[track_caller]
fn check_file(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}
