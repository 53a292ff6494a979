//! The Lambda function `set-filter-access`.

fn main() -> Result<(), lambda_http::Error> {
    api::run(set_filter_access::ENDPOINT)
}
