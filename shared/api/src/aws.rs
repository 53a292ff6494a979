//! How a function reaches AWS's services other than the table.

use std::time::Duration;

use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::meta::region::ProvideRegion as _;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
use store::client::Endpoint;

/// Attempts of one call, made by the SDK with its own backoff.
const CALL_ATTEMPTS: u32 = 4;
/// The SDK's first and longest pause between attempts. Its own, of up to 20 s, would outlast a call.
const CALL_BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How long one attempt of a call may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What a client is made from, at AWS or at `endpoint`: as [`store::client::connect`] does it for the table, with the
/// credentials and the region that Lambda puts into the environment, which is the only source that is known, or with
/// any for an emulator on this machine.
pub(crate) async fn settings(endpoint: Option<&str>) -> SdkConfig {
    let settings = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(CALL_ATTEMPTS)
                .with_initial_backoff(CALL_BACKOFF.0)
                .with_max_backoff(CALL_BACKOFF.1),
        )
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .build(),
        )
        // Bodies are small and whole; the attempt's time limit covers a stall.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    let endpoint = endpoint.map(Endpoint::at);
    let settings = if endpoint.as_ref().is_some_and(|endpoint| endpoint.is_local) {
        let credentials = Credentials::new("local", "local", None, None, "local");
        settings
            .region(Region::from_static("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
    } else {
        settings
            .region(EnvironmentVariableRegionProvider::new().region().await)
            .credentials_provider(SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new()))
    };
    match endpoint {
        Some(endpoint) => settings.endpoint_url(endpoint.url).build(),
        None => settings.build(),
    }
}
