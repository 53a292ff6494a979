//! The Lambda function `bulk-worker`.

fn main() -> Result<(), lambda_runtime::Error> {
    api::run_events(bulk_worker::handle)
}
