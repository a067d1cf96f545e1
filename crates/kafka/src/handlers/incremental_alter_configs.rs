use firth_broker::{ConfigChange, ConfigEdit};
use firth_kafka_codec::{
    ByteStr, ErrorCode, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResource,
    IncrementalAlterConfigsResponse, IncrementalAlterableConfig, OPERATION_APPEND, OPERATION_DELETE,
    OPERATION_SET, OPERATION_SUBTRACT, RESOURCE_BROKER, RESOURCE_GROUP,
};

use super::alter_configs::{Altered, alter, without_value};
use super::{Answer, Refused, refused};
use crate::server::Client;

pub(super) async fn handle(
    client: Client,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let resources = request.resources.into_iter().map(|resource| Altered {
        names: names(&resource),
        change: change(&resource),
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
    });
    IncrementalAlterConfigsResponse {
        responses: alter(&client, resources.collect(), request.validate_only).await,
        ..Default::default()
    }
}

/// The settings that a change is about. Of a group and of the broker nothing is ever set, so nothing has to be deleted.
fn names(resource: &IncrementalAlterConfigsResource) -> Vec<ByteStr> {
    let is_never_set = matches!(resource.resource_type, RESOURCE_GROUP | RESOURCE_BROKER);
    let configs = resource.configs.iter();
    configs
        .filter(|config| !is_never_set || config.config_operation != OPERATION_DELETE)
        .map(|config| config.name.clone())
        .collect()
}

fn change(resource: &IncrementalAlterConfigsResource) -> Result<ConfigChange, Refused> {
    let edits = resource.configs.iter().map(|config| {
        let edit = edit(config)?;
        Ok((config.name.as_str().to_owned(), edit))
    });
    edits.collect::<Result<_, _>>().map(ConfigChange::Edit)
}

fn edit(config: &IncrementalAlterableConfig) -> Result<ConfigEdit, Refused> {
    let value = || match &config.value {
        Some(value) => Ok(value.as_str().to_owned()),
        None => Err(without_value(&config.name)),
    };
    match config.config_operation {
        OPERATION_SET => value().map(ConfigEdit::Set),
        OPERATION_DELETE => Ok(ConfigEdit::Delete),
        OPERATION_APPEND => value().map(ConfigEdit::Append),
        OPERATION_SUBTRACT => value().map(ConfigEdit::Subtract),
        other => Err(refused(
            ErrorCode::InvalidRequest,
            &format!("there is no operation {other}"),
        )),
    }
}

impl Answer for IncrementalAlterConfigsResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        self.responses.iter().map(|response| response.error_code)
    }
}
