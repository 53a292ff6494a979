//! The Lambda function `session`.

fn main() -> Result<(), lambda_http::Error> {
    api::run(session::ENDPOINTS)
}
