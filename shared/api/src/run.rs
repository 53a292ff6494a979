//! Start-up of a function.

use lambda_http::{Error, Request, service_fn};
use store::Store;
use store::client::connect;

use crate::app::App;
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::log;

/// Runs a Lambda function that offers `endpoint`.
///
/// # Errors
///
/// When the environment cannot be used, or the Lambda runtime ends.
pub fn run(endpoint: Endpoint) -> Result<(), Error> {
    let config = Config::from_env()?;
    log::init(&config.log);
    // One event at a time is all that Lambda hands a function, so one thread is enough, and starts fastest.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(endpoint, &config))
}

async fn serve(endpoint: Endpoint, config: &Config) -> Result<(), Error> {
    // Made before the first poll: the client loads its TLS roots, which then no caller waits for.
    let app = &start(config).await;
    lambda_http::run(service_fn(|request: Request| async move {
        Ok::<_, std::convert::Infallible>(endpoint.answer(app, request).await)
    }))
    .await
}

/// What a function works with, as its configuration says.
pub async fn start(config: &Config) -> App {
    let client = connect(config.endpoint.as_ref(), None).await;
    App::new(Store::new(client, &config.table), config.token_cache)
}
