//! The Lambda function `get-contact`.

fn main() -> Result<(), lambda_http::Error> {
    api::run(get_contact::ENDPOINTS)
}
