//! The table client: calls for single items, transactions and queries.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::meta::region::ProvideRegion as _;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    Builder, Credentials, HttpClient, ProvideCredentials as _, SharedCredentialsProvider, SharedInterceptor,
    StalledStreamProtectionConfig,
};
use aws_sdk_dynamodb::operation::delete_item::builders::DeleteItemFluentBuilder;
use aws_sdk_dynamodb::operation::get_item::builders::GetItemFluentBuilder;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity, ReturnValue, Select, TransactWriteItem};

use crate::dynamodb::backoff::{MachineTime, Time, pauses};
use crate::dynamodb::https::https_client;
use crate::dynamodb::items::Item;
use crate::dynamodb::pressure::Pressure;
use crate::dynamodb::reading::{Consistency, Direction, QueryOptions};
use crate::error::StoreError;
use crate::keys::{Key, PK, Range, SK};
use crate::meter::Meter;

/// Attempts per call, made by the SDK with its own backoff. The store repeats a throttled call after these attempts.
pub(crate) const CALL_ATTEMPTS: u32 = 4;
/// Timeout of a call with all its attempts.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// The first and the longest pause between the SDK's attempts. The SDK's default of up to 20 s would outlast a call.
const CALL_BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Timeout of one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The table of crm-access.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) client: Client,
    /// The client for statements and bulk batches, whose repetitions this crate decides.
    pub(crate) client_without_retries: Client,
    /// The client of bulk jobs, if they have one of their own.
    bulk_client: Option<Client>,
    pub(crate) table: String,
    pub(crate) meter: Arc<Meter>,
    /// The limiter of bulk writes, which all clones of a store share.
    pub(crate) pressure: Arc<Pressure>,
    /// The time of pauses, which all clones of a store share.
    pub(crate) time: Arc<dyn Time>,
}

/// A DynamoDB endpoint other than AWS's default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The URL.
    pub url: String,
    /// True if the endpoint is a local or test engine, which checks no signatures.
    pub is_local: bool,
    /// Access key for a local engine. If there is none, the client sends the environment's access key.
    pub access_key: Option<String>,
}

impl Endpoint {
    /// Returns the endpoint at `url`. An `http` URL is a local engine, which checks no signatures; AWS endpoints use
    /// `https`.
    pub fn at(url: impl Into<String>) -> Self {
        let url = url.into();
        Self { is_local: url.starts_with("http://"), url, access_key: None }
    }

    /// Sets the access key.
    #[must_use]
    pub fn with_access_key(self, access_key: impl Into<String>) -> Self {
        Self { access_key: Some(access_key.into()), ..self }
    }
}

/// Returns a client for the table with the [`settings`] of Lambda's environment or of a local engine.
pub async fn connect(endpoint: Option<&Endpoint>, interceptor: Option<SharedInterceptor>) -> Client {
    client(&settings(endpoint).await, interceptor, |config| config)
}

/// Returns a client for the table that uses `http_client` in place of the SDK's HTTP client.
pub(crate) async fn connect_through(
    endpoint: &Endpoint,
    interceptor: Option<SharedInterceptor>,
    http_client: impl HttpClient + 'static,
) -> Client {
    client(&settings(Some(endpoint)).await, interceptor, |config| config.http_client(http_client))
}

fn client(
    settings: &SdkConfig,
    interceptor: Option<SharedInterceptor>,
    adapt: impl FnOnce(Builder) -> Builder,
) -> Client {
    let mut config = adapt(Builder::from(settings));
    if let Some(interceptor) = interceptor {
        config.push_interceptor(interceptor);
    }
    Client::from_conf(config.build())
}

/// Returns a client for the table with the credentials and the region of the program's shell.
pub fn connect_from_shell(shell: SdkConfig, endpoint: Option<&Endpoint>) -> Client {
    Client::new(&bounded(shell, endpoint))
}

/// Returns the settings for a client of any AWS service, with credentials and region from Lambda's environment. For a
/// local engine, the region is fixed. A local engine's credentials come from the endpoint, otherwise from the
/// environment, otherwise they are fixed.
///
/// Other sources of credentials would add most of a megabyte of sign-in protocols to every function.
pub async fn settings(endpoint: Option<&Endpoint>) -> SdkConfig {
    let base = SdkConfig::builder().behavior_version(BehaviorVersion::latest());
    let base = match endpoint.filter(|endpoint| endpoint.is_local) {
        Some(endpoint) => base
            .region(Region::from_static("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(local_credentials(endpoint).await)),
        None => base
            .region(EnvironmentVariableRegionProvider::new().region().await)
            .credentials_provider(SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new())),
    };
    bounded(base.build(), endpoint)
}

/// Returns credentials for a local engine, which reads the access key and checks no signature. Leaves out the
/// environment's session token, which a local engine does not use.
async fn local_credentials(endpoint: &Endpoint) -> Credentials {
    const ANY: &str = "local";
    const PROVIDER: &str = "local engine";
    if let Some(access_key) = &endpoint.access_key {
        return Credentials::new(access_key, ANY, None, None, PROVIDER);
    }
    match EnvironmentVariableCredentialsProvider::new().provide_credentials().await {
        Ok(found) => Credentials::new(found.access_key_id(), found.secret_access_key(), None, None, PROVIDER),
        Err(_) => Credentials::new(ANY, ANY, None, None, PROVIDER),
    }
}

/// Returns the settings with the HTTPS client, bounded attempts and timeouts, at `endpoint` if there is one.
fn bounded(base: SdkConfig, endpoint: Option<&Endpoint>) -> SdkConfig {
    let mut config = base
        .into_builder()
        .http_client(https_client())
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
                .operation_timeout(CALL_TIMEOUT)
                .build(),
        )
        // Bodies are small and not streamed; the timeout of an attempt covers a stalled body.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(endpoint) = endpoint {
        config = config.endpoint_url(&endpoint.url);
    }
    config.build()
}

/// Returns a client like `client` that attempts each call once.
fn without_retries(client: &Client) -> Client {
    Client::from_conf(client.config().to_builder().retry_config(RetryConfig::disabled()).build())
}

impl Store {
    /// Returns the table `table`, accessed through `client`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self {
            client_without_retries: without_retries(&client),
            client,
            bulk_client: None,
            table: table.into(),
            meter: Arc::default(),
            pressure: Arc::new(Pressure::new(Arc::new(MachineTime))),
            time: Arc::new(MachineTime),
        }
    }

    /// Sets a client of the same table for [`Self::for_bulk`].
    #[must_use]
    pub fn with_bulk_client(self, client: Client) -> Self {
        Self { bulk_client: Some(client), ..self }
    }

    /// Returns the table for bulk jobs, whose calls may wait for the calls of users. The meter and the limiter of bulk
    /// writes are those of this store.
    #[must_use]
    pub fn for_bulk(&self) -> Self {
        match &self.bulk_client {
            Some(client) => {
                Self { client: client.clone(), client_without_retries: without_retries(client), ..self.clone() }
            }
            None => self.clone(),
        }
    }

    /// Replaces the time of pauses, with a new limiter of bulk writes.
    #[must_use]
    pub fn with_time(self, time: Arc<dyn Time>) -> Self {
        Self { pressure: Arc::new(Pressure::new(time.clone())), time, ..self }
    }

    /// Returns the table with its own meter. This store's meter still counts all calls.
    #[must_use]
    pub fn metered(&self) -> Self {
        Self { meter: Arc::new(Meter::with_parent(&self.meter)), ..self.clone() }
    }

    /// Returns the meter of the calls made through this store and its clones.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Makes a call, and repeats the call while DynamoDB throttles it, for about as long as a user waits for an answer.
    async fn unless_throttled<T: Send, F: Future<Output = Result<T, StoreError>> + Send>(
        &self,
        call: impl Fn() -> F + Send,
    ) -> Result<T, StoreError> {
        let mut pauses = pauses();
        loop {
            match (call().await, pauses.next()) {
                (Err(error), Some(pause)) if error.is_throttled() => self.time.pause(pause).await,
                (result, _) => return result,
            }
        }
    }

    /// Reads one item, consistently: 1 read unit per 4 KB.
    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        self.send_get(self.get_request(key)).await
    }

    /// Reads one attribute of an item, consistently: 1 read unit per 4 KB of the item.
    pub(crate) async fn get_attribute(&self, key: &Key, attribute: &str) -> Result<Option<Item>, StoreError> {
        let request = self.get_request(key).projection_expression("#attribute");
        self.send_get(request.expression_attribute_names("#attribute", attribute)).await
    }

    fn get_request(&self, key: &Key) -> GetItemFluentBuilder {
        let (pk, sk) = key.encode();
        self.client
            .get_item()
            .table_name(&self.table)
            .key(PK, AttributeValue::S(pk))
            .key(SK, AttributeValue::S(sk))
            .consistent_read(true)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
    }

    async fn send_get(&self, request: GetItemFluentBuilder) -> Result<Option<Item>, StoreError> {
        let send = || async { request.clone().send().await.map_err(|error| StoreError::from_sdk("GetItem", error)) };
        let output = self.unless_throttled(send).await?;
        self.meter.read(&output.consumed_capacity);
        Ok(output.item)
    }

    /// Writes one whole item: 1 write unit per KB.
    pub(crate) async fn put(&self, item: Item) -> Result<(), StoreError> {
        let output = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("PutItem", error))?;
        self.meter.wrote(&output.consumed_capacity);
        Ok(())
    }

    /// Writes one whole item if `condition` holds. Returns whether the condition held. Costs 1 write unit per KB; if
    /// the condition fails, per KB of the existing item, at least 1. In the condition, `#pk` stands for the partition
    /// key's name.
    pub(crate) async fn put_if(
        &self,
        item: Item,
        condition: &str,
        values: impl IntoIterator<Item = (&'static str, AttributeValue)>,
    ) -> Result<bool, StoreError> {
        let values: HashMap<String, AttributeValue> =
            values.into_iter().map(|(name, value)| (name.into(), value)).collect();
        let names = condition.contains("#pk").then(|| HashMap::from([("#pk".into(), PK.into())]));
        let request = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression(condition)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(Some(values).filter(|values| !values.is_empty()))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let mut pauses = pauses();
        loop {
            let result = request.clone().send().await.map_err(|error| StoreError::from_sdk("PutItem", error));
            match (result, pauses.next()) {
                (Ok(output), _) => {
                    self.meter.wrote(&output.consumed_capacity);
                    return Ok(true);
                }
                (Err(error), _) if error.is_condition_failed() => return Ok(false),
                (Err(error), Some(pause)) if error.is_contended() || error.is_throttled() => {
                    self.time.pause(pause).await;
                }
                (Err(error), _) => return Err(error),
            }
        }
    }

    /// Removes one item: 1 write unit per KB.
    pub(crate) async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.send_delete(self.delete_request(key)).await
    }

    /// Removes one item if `condition` holds. Returns whether the condition held. Costs 1 write unit per KB of the
    /// item, at least 1, also if the condition fails.
    pub(crate) async fn delete_if(
        &self,
        key: &Key,
        condition: &str,
        names: HashMap<String, String>,
        values: HashMap<String, AttributeValue>,
    ) -> Result<bool, StoreError> {
        let request = self
            .delete_request(key)
            .condition_expression(condition)
            .set_expression_attribute_names(Some(names).filter(|names| !names.is_empty()))
            .set_expression_attribute_values(Some(values).filter(|values| !values.is_empty()));
        match self.send_delete(request).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_condition_failed() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn delete_request(&self, key: &Key) -> DeleteItemFluentBuilder {
        let (pk, sk) = key.encode();
        self.client
            .delete_item()
            .table_name(&self.table)
            .key(PK, AttributeValue::S(pk))
            .key(SK, AttributeValue::S(sk))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
    }

    async fn send_delete(&self, request: DeleteItemFluentBuilder) -> Result<(), StoreError> {
        let send = || async { request.clone().send().await.map_err(|error| StoreError::from_sdk("DeleteItem", error)) };
        let output = self.unless_throttled(send).await?;
        self.meter.wrote(&output.consumed_capacity);
        Ok(())
    }

    /// Updates one item: 1 write unit per KB.
    pub(crate) async fn update(
        &self,
        key: &Key,
        expression: &str,
        names: HashMap<String, String>,
        values: HashMap<String, AttributeValue>,
    ) -> Result<(), StoreError> {
        self.update_if(key, expression, None, names, values).await.map(drop)
    }

    /// Updates one item if `condition` holds. Returns the new item, or none if the condition failed. Costs 1 write unit
    /// per KB.
    pub(crate) async fn update_if(
        &self,
        key: &Key,
        expression: &str,
        condition: Option<&str>,
        names: HashMap<String, String>,
        values: HashMap<String, AttributeValue>,
    ) -> Result<Option<Item>, StoreError> {
        let (pk, sk) = key.encode();
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(PK, AttributeValue::S(pk))
            .key(SK, AttributeValue::S(sk))
            .update_expression(expression)
            .set_condition_expression(condition.map(ToOwned::to_owned))
            .set_expression_attribute_names(Some(names).filter(|names| !names.is_empty()))
            .set_expression_attribute_values(Some(values).filter(|values| !values.is_empty()))
            .return_values(ReturnValue::AllNew)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let mut pauses = pauses();
        loop {
            let result = request.clone().send().await.map_err(|error| StoreError::from_sdk("UpdateItem", error));
            match (result, pauses.next()) {
                (Ok(output), _) => {
                    self.meter.wrote(&output.consumed_capacity);
                    return Ok(Some(output.attributes.unwrap_or_default()));
                }
                (Err(error), _) if error.is_condition_failed() && condition.is_some() => return Ok(None),
                (Err(error), Some(pause)) if error.is_contended() || error.is_throttled() => {
                    self.time.pause(pause).await;
                }
                (Err(error), _) => return Err(error),
            }
        }
    }

    /// Writes all items or none: 2 write units per KB.
    pub(crate) async fn transact(&self, writes: Vec<TransactWriteItem>) -> Result<(), StoreError> {
        self.unless_throttled(|| self.transact_once(writes.clone())).await
    }

    async fn transact_once(&self, writes: Vec<TransactWriteItem>) -> Result<(), StoreError> {
        const OPERATION: &str = "TransactWriteItems";
        let result = self
            .client
            .transact_write_items()
            .set_transact_items(Some(writes))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        let error = match result {
            Ok(output) => {
                self.meter.wrote(output.consumed_capacity());
                return Ok(());
            }
            Err(error) => error,
        };
        let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() else {
            return Err(StoreError::from_sdk(OPERATION, error));
        };
        let codes: Vec<&str> = cancelled.cancellation_reasons().iter().filter_map(|reason| reason.code()).collect();
        let is_among = |reasons: [&str; 2]| codes.iter().any(|code| reasons.contains(code));
        Err(if is_among(["ConditionalCheckFailed", "TransactionConflict"]) {
            StoreError::ConditionFailed { operation: OPERATION }
        } else if is_among(["ThrottlingError", "ProvisionedThroughputExceeded"]) {
            StoreError::Throttled { operation: OPERATION, source: Some(Box::new(error)) }
        } else {
            StoreError::Refused { operation: OPERATION, source: Box::new(error) }
        })
    }

    /// Reads a whole range of one partition of the table: 1 read unit per 8 KB, or per 4 KB when consistent.
    pub(crate) async fn query(&self, range: &Range, consistency: Consistency) -> Result<Vec<Item>, StoreError> {
        self.query_with(range, QueryOptions { consistency, ..QueryOptions::default() }).await
    }

    /// Reads the part of a range that `options` select: 1 read unit per 8 KB, or per 4 KB when consistent.
    pub(crate) async fn query_with(&self, range: &Range, options: QueryOptions) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::new();
        let mut start = None;
        loop {
            let limit = options.limit.map(|limit| limit.saturating_sub(items.len()));
            let (page, next) = self.query_page(range, &options, limit, start).await?;
            items.extend(page);
            start = next;
            if start.is_none() || options.limit.is_some_and(|limit| items.len() >= limit) {
                return Ok(items);
            }
        }
    }

    /// Skips the first `skip` items of a part of a range. Returns the key after which the reading continues; none when
    /// no item is left. Memory holds one key at a time. Costs as much as reading the items.
    pub(crate) async fn skip_items(
        &self,
        range: &Range,
        options: &QueryOptions,
        skip: usize,
    ) -> Result<Option<Item>, StoreError> {
        let (mut skipped, mut start) = (0, None);
        loop {
            let limit = i32::try_from(skip.saturating_sub(skipped)).unwrap_or(i32::MAX);
            let request = self.part_request(range, options).select(Select::Count).limit(limit);
            let request = request.set_exclusive_start_key(start);
            let send = || async { request.clone().send().await.map_err(|error| StoreError::from_sdk("Query", error)) };
            let output = self.unless_throttled(send).await?;
            self.meter.read(&output.consumed_capacity);
            skipped = skipped.saturating_add(usize::try_from(output.count).unwrap_or(0));
            start = output.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() || skipped >= skip {
                return Ok(start);
            }
        }
    }

    /// Counts the items with an attribute in a part of a range: 1 read unit per 8 KB of all items in the part, or per 4
    /// KB when consistent.
    pub(crate) async fn count_items_with(
        &self,
        attribute: &str,
        range: &Range,
        options: &QueryOptions,
    ) -> Result<u64, StoreError> {
        let (mut count, mut start) = (0, None);
        loop {
            let request = self
                .part_request(range, options)
                .select(Select::Count)
                .filter_expression("attribute_exists(#counted)")
                .expression_attribute_names("#counted", attribute)
                .set_exclusive_start_key(start);
            let send = || async { request.clone().send().await.map_err(|error| StoreError::from_sdk("Query", error)) };
            let output = self.unless_throttled(send).await?;
            self.meter.read(&output.consumed_capacity);
            count += u64::try_from(output.count).unwrap_or(0);
            start = output.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(count);
            }
        }
    }

    /// Reads one page of a part of a range, up to 1 MB and `limit` items. Returns the items and the key after which the
    /// next page starts. Costs as much per KB as a query of the whole part.
    pub(crate) async fn query_page(
        &self,
        range: &Range,
        options: &QueryOptions,
        limit: Option<usize>,
        start: Option<Item>,
    ) -> Result<(Vec<Item>, Option<Item>), StoreError> {
        let request = self
            .part_request(range, options)
            .set_limit(limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX)))
            .set_exclusive_start_key(start);
        let send = || async { request.clone().send().await.map_err(|error| StoreError::from_sdk("Query", error)) };
        let output = self.unless_throttled(send).await?;
        self.meter.read(&output.consumed_capacity);
        Ok((output.items.unwrap_or_default(), output.last_evaluated_key.filter(|key| !key.is_empty())))
    }

    fn part_request(&self, range: &Range, options: &QueryOptions) -> QueryFluentBuilder {
        let (pk, prefix) = range.encode();
        let request = self
            .client
            .query()
            .table_name(&self.table)
            .expression_attribute_names("#pk", PK)
            .expression_attribute_values(":pk", AttributeValue::S(pk))
            .consistent_read(options.consistency.is_strong())
            .scan_index_forward(options.direction == Direction::Ascending)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        match (&options.below, &options.from, prefix) {
            (Some(below), Some(from), _) => request
                .key_condition_expression("#pk = :pk AND #sk BETWEEN :from AND :below")
                .expression_attribute_names("#sk", SK)
                .expression_attribute_values(":from", AttributeValue::S(from.clone()))
                .expression_attribute_values(":below", AttributeValue::S(below.clone())),
            (Some(bound), None, _) => request
                .key_condition_expression("#pk = :pk AND #sk < :bound")
                .expression_attribute_names("#sk", SK)
                .expression_attribute_values(":bound", AttributeValue::S(bound.clone())),
            (None, Some(bound), _) => request
                .key_condition_expression("#pk = :pk AND #sk >= :bound")
                .expression_attribute_names("#sk", SK)
                .expression_attribute_values(":bound", AttributeValue::S(bound.clone())),
            (None, None, "") => request.key_condition_expression("#pk = :pk"),
            (None, None, prefix) => request
                .key_condition_expression("#pk = :pk AND begins_with(#sk, :prefix)")
                .expression_attribute_names("#sk", SK)
                .expression_attribute_values(":prefix", AttributeValue::S(prefix.into())),
        }
    }
}
