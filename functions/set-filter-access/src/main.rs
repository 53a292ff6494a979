//! The Lambda function `set-filter-access`.

fn main() -> Result<(), lambda_http::Error> {
    api::run_with_queue(&[set_filter_access::ENDPOINT])
}
