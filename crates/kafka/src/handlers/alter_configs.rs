use std::collections::HashSet;

use firth_broker::{ConfigChange, TopicId};
use firth_kafka_codec::{
    AlterConfigsRequest, AlterConfigsResource, AlterConfigsResourceResponse, AlterConfigsResponse, ByteStr,
    ErrorCode, RESOURCE_BROKER, RESOURCE_GROUP, RESOURCE_TOPIC,
};

use super::describe_configs::{GROUP_WITHOUT_NAME, check_broker_id, unsupported};
use super::{Answer, Refused, find_topic, message, once, refused};
use crate::error;
use crate::server::Client;

pub(super) async fn handle(client: Client, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let resources = request.resources.into_iter().map(|resource| Altered {
        names: resource
            .configs
            .iter()
            .map(|config| config.name.clone())
            .collect(),
        change: change(&resource),
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
    });
    AlterConfigsResponse {
        responses: alter(&client, resources.collect(), request.validate_only).await,
        ..Default::default()
    }
}

fn change(resource: &AlterConfigsResource) -> Result<ConfigChange, Refused> {
    let entries = resource.configs.iter().map(|config| {
        let value = config.value.as_ref().ok_or_else(|| without_value(&config.name))?;
        Ok((config.name.as_str().to_owned(), Some(value.as_str().to_owned())))
    });
    entries.collect::<Result<_, _>>().map(ConfigChange::Replace)
}

/// A value is missing.
pub(super) fn without_value(name: &str) -> Refused {
    refused(ErrorCode::InvalidRequest, &format!("{name} needs a value"))
}

/// A resource, and what is to become of its configuration.
pub(super) struct Altered {
    pub(super) resource_type: i8,
    pub(super) resource_name: ByteStr,
    /// The settings that the change names.
    pub(super) names: Vec<ByteStr>,
    pub(super) change: Result<ConfigChange, Refused>,
}

/// Alters each resource for itself.
pub(super) async fn alter(
    client: &Client,
    resources: Vec<Altered>,
    validate_only: bool,
) -> Vec<AlterConfigsResourceResponse> {
    let key = |altered: &Altered| (altered.resource_type, altered.resource_name.clone());
    let (mut asked, mut changes) = (Vec::new(), Vec::new());
    for (mut altered, is_repeated) in once(resources, key) {
        let found = match is_repeated {
            true => Err(refused(
                ErrorCode::InvalidRequest,
                &"the request names this resource more than once",
            )),
            false => check(client, &mut altered),
        };
        asked.push((altered, found.map(|change| changes.extend(change))));
    }
    let mut configured = client
        .server
        .broker
        .configure_topics(changes, validate_only)
        .await
        .into_iter();
    let mut responses = Vec::with_capacity(asked.len());
    for (altered, found) in asked {
        let done = match found {
            Err(refused) => Err(refused),
            Ok(()) if altered.resource_type != RESOURCE_TOPIC => Ok(()),
            Ok(()) => match configured.next() {
                Some(Ok(configured)) => {
                    warn(&altered.resource_name, &configured.warnings);
                    Ok(())
                }
                Some(Err(error)) => Err((error::of_define(&error), message(&error))),
                None => Err((ErrorCode::UnknownServerError, None)),
            },
        };
        responses.push(response(altered, done));
    }
    responses
}

/// What is to be done to a topic, or nothing where a resource of another kind is asked for nothing.
fn check(client: &Client, altered: &mut Altered) -> Result<Option<(TopicId, ConfigChange)>, Refused> {
    let name = altered.resource_name.as_str();
    match altered.resource_type {
        RESOURCE_TOPIC => {
            let topic = find_topic(client, name)?;
            check_once(&altered.names)?;
            let change = std::mem::replace(&mut altered.change, Ok(ConfigChange::Edit(Vec::new())))?;
            Ok(Some((topic.id, change)))
        }
        RESOURCE_BROKER => {
            if !name.is_empty() {
                check_broker_id(client, name)?;
            }
            match altered.names.is_empty() {
                true => Ok(None),
                false => Err(refused(ErrorCode::InvalidRequest, &not_dynamic(&altered.names))),
            }
        }
        RESOURCE_GROUP if name.is_empty() => Err(refused(ErrorCode::InvalidRequest, &GROUP_WITHOUT_NAME)),
        RESOURCE_GROUP => match altered.names.first() {
            Some(name) => {
                let reason =
                    format!("{name} cannot be set: groups that have settings of their own are not served");
                Err(refused(ErrorCode::InvalidConfig, &reason))
            }
            None => Ok(None),
        },
        other => Err(unsupported(other)),
    }
}

fn check_once(names: &[ByteStr]) -> Result<(), Refused> {
    let mut seen = HashSet::new();
    match names.iter().find(|name| !seen.insert(*name)) {
        Some(name) => {
            let reason = format!("the request names {name} more than once");
            Err(refused(ErrorCode::InvalidRequest, &reason))
        }
        None => Ok(()),
    }
}

/// What Apache Kafka says of a setting that needs a restart. Here all of the broker's do.
fn not_dynamic(names: &[ByteStr]) -> String {
    let names: Vec<&str> = names.iter().map(ByteStr::as_str).collect();
    format!("Cannot update these configs dynamically: [{}]", names.join(", "))
}

/// What was asked for and has no effect is said in the log, because the response has no place for it.
fn warn(topic: &ByteStr, warnings: &[String]) {
    for warning in warnings {
        tracing::warn!(%topic, "{warning}");
    }
}

fn response(altered: Altered, done: Result<(), Refused>) -> AlterConfigsResourceResponse {
    let (error_code, error_message) = done.err().unwrap_or((ErrorCode::None, None));
    AlterConfigsResourceResponse {
        error_code,
        error_message,
        resource_type: altered.resource_type,
        resource_name: altered.resource_name,
    }
}

impl Answer for AlterConfigsResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        self.responses.iter().map(|response| response.error_code)
    }
}
