//! The Lambda function `run-rules`.

fn main() -> Result<(), lambda_runtime::Error> {
    api::run_events(run_rules::handle)
}
