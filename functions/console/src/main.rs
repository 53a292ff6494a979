//! The Lambda function `web-console`.

fn main() -> Result<(), lambda_http::Error> {
    api::run_site(&web_console::SITE)
}
