//! Integration tests: the service as its callers see it, with real handlers on a real engine.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod alarms;
mod audit;
mod authentication;
mod aws_edges;
mod bad_input;
mod broken_bodies;
mod callers;
mod clients;
mod compaction;
mod console;
mod contacts_run;
mod documents;
mod edits;
mod faults;
mod filter;
mod gateway_events;
mod given_up;
mod house;
mod idempotency;
mod ignored_input;
mod import;
mod job_api;
mod job_faults;
mod job_list;
mod list;
mod listing;
mod model;
mod moves;
mod open_jobs;
mod openapi;
mod overlaps;
mod pages;
mod portal;
mod previews;
mod reading;
mod reshard;
mod rights;
mod rules;
mod runs;
mod scale;
mod schedules;
mod schema;
mod server;
mod several;
mod sign_in;
mod sign_in_codes;
mod single;
mod template;
mod workers;

/// Compares `text` with the committed file `snapshots/<name>.snap`.
#[track_caller]
fn check_file(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}
