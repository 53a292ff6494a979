//! Creation of the table on local engines. On AWS, template.yaml creates the table; a test compares the two
//! definitions.

use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BatchStatementRequest, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    Projection, ProjectionType, ScalarAttributeType,
};

use crate::contacts::{COMPANY, NAME, OPPORTUNITY, REVISION, STAGE, TAGS, TYPE};
use crate::dynamodb::client::Store;
use crate::error::StoreError;
use crate::keys::{Index, PK, SK};

/// Attributes that both indexes project: exactly the attributes that a filter tests.
pub const PROJECTED: [&str; 6] = [STAGE, TYPE, COMPANY, OPPORTUNITY, TAGS, NAME];

impl Store {
    /// Creates the table unless it exists.
    pub async fn ensure_table(&self) -> Result<(), StoreError> {
        let unbuildable =
            |error: aws_sdk_dynamodb::error::BuildError| StoreError::unbuildable("the definition of the table", error);
        let keys = |pk: &str, sk: &str| {
            [(pk, KeyType::Hash), (sk, KeyType::Range)]
                .map(|(name, kind)| KeySchemaElement::builder().attribute_name(name).key_type(kind).build())
                .into_iter()
                .collect::<Result<Vec<_>, _>>()
        };
        let attributes = [PK, SK]
            .into_iter()
            .chain(Index::ALL.into_iter().flat_map(|index| [index.pk(), index.sk()]))
            .map(|name| {
                AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build()
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(unbuildable)?;
        let indexes = Index::ALL
            .into_iter()
            .map(|index| {
                let projected = PROJECTED.iter().map(ToString::to_string).collect();
                GlobalSecondaryIndex::builder()
                    .index_name(index.name())
                    .set_key_schema(Some(keys(index.pk(), index.sk())?))
                    .projection(
                        Projection::builder()
                            .projection_type(ProjectionType::Include)
                            .set_non_key_attributes(Some(projected))
                            .build(),
                    )
                    .build()
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(unbuildable)?;
        let result = self
            .client
            .create_table()
            .table_name(&self.table)
            .billing_mode(BillingMode::PayPerRequest)
            .set_key_schema(Some(keys(PK, SK).map_err(unbuildable)?))
            .set_attribute_definitions(Some(attributes))
            .set_global_secondary_indexes(Some(indexes))
            .send()
            .await;
        match result {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_in_use_exception()) => Ok(()),
            Err(error) => Err(StoreError::from_sdk("CreateTable", error)),
        }
    }

    /// Returns whether the engine has the operation `BatchExecuteStatement`, by which bulk jobs write. Sends an update
    /// whose condition never holds: 1 write unit.
    pub async fn has_statements(&self) -> Result<bool, StoreError> {
        const MISSING: &str = "UnknownOperationException";
        let of_no_item = format!("\"{PK}\"='-' AND \"{SK}\"='-' AND \"{REVISION}\"=0");
        let text = format!("UPDATE \"{}\" SET \"{REVISION}\"=0 WHERE {of_no_item}", self.table);
        let statement = BatchStatementRequest::builder().statement(text).build();
        let statement = statement.map_err(|error| StoreError::unbuildable("a statement", error))?;
        match self.client.batch_execute_statement().statements(statement).send().await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some(MISSING) => Ok(false),
            Err(error) => Err(StoreError::from_sdk("BatchExecuteStatement", error)),
        }
    }
}
