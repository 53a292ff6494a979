//! The Lambda function `list-contacts`.

fn main() -> Result<(), lambda_http::Error> {
    api::run(list_contacts::ENDPOINTS)
}
