//! The Lambda function `access-portal`.

fn main() -> Result<(), lambda_http::Error> {
    api::run(access_portal::ENDPOINTS)
}
