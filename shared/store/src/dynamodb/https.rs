//! The HTTPS client of all calls to AWS.

use aws_sdk_dynamodb::config::SharedHttpClient;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, ConnectorBuilder};

/// Returns an HTTPS client like the SDK's default, which uses the proxies that the environment names
/// (`HTTPS_PROXY`, `NO_PROXY`), with the cryptography of ring in place of AWS-LC.
///
/// A service client that is made with this HTTP client loads the certificates of the operating system at once, so that
/// no call waits for the load.
pub fn https_client() -> SharedHttpClient {
    // The SDK creates its default in the same way. The documented `build_https` ignores the proxies.
    Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector = ConnectorBuilder::default().tls_provider(Provider::Rustls(CryptoMode::Ring));
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.set_proxy_config(Some(ProxyConfig::from_env()));
        connector.build()
    })
}
