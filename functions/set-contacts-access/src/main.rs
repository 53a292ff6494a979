//! The Lambda function `set-contacts-access`.

fn main() -> Result<(), lambda_http::Error> {
    api::run_with_queue(&[set_contacts_access::ENDPOINT])
}
