//! The Lambda function `access-jobs`.

fn main() -> Result<(), lambda_http::Error> {
    api::run_with_queue(access_jobs::ENDPOINTS)
}
