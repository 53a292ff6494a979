//! The Lambda function `set-contact-access`.

fn main() -> Result<(), lambda_http::Error> {
    api::run(&[set_contact_access::ENDPOINT])
}
