//! `/api/vhosts` and `/api/vhost-limits`.

use std::sync::Arc;

use axum::extract::{Path, State};
use firth_broker::users::Permissions;
use firth_broker::{VirtualHost, VirtualHostSettings};
use serde_json::{Map, Value, json};

use super::answer::{self, Answer, Error, json};
use super::body::Body;
use super::caller::Caller;
use super::list::Wanted;
use crate::Admin;

const MAX_QUEUES: &str = "max-queues";
const MAX_CONNECTIONS: &str = "max-connections";

fn shown(virtual_host: &Arc<VirtualHost>) -> Value {
    let VirtualHostSettings {
        description, tags, ..
    } = virtual_host.settings();
    json!({
        "name": &**virtual_host.name(),
        "description": description,
        "tags": tags,
        "metadata": { "description": description, "tags": tags },
        "default_queue_type": "classic",
        "tracing": false,
        "cluster_state": { answer::NODE: "running" },
    })
}

fn name(virtual_host: &Arc<VirtualHost>) -> String {
    virtual_host.name().to_string()
}

/// All that the user may see.
pub(super) fn visible(admin: &Admin, caller: &Caller) -> Vec<Arc<VirtualHost>> {
    let mut all = admin.broker.topology().virtual_hosts();
    all.retain(|virtual_host| caller.sees(virtual_host.name()));
    all
}

pub(super) async fn list(State(admin): State<Admin>, caller: Caller, wanted: Wanted) -> Answer {
    let all = visible(&admin, &caller);
    for virtual_host in &all {
        virtual_host.commit().await?;
    }
    wanted.list(all, name, shown)
}

pub(super) async fn get(State(admin): State<Admin>, caller: Caller, Path(name): Path<String>) -> Answer {
    let virtual_host = caller.look_at(&admin, &name)?;
    virtual_host.commit().await?;
    Ok(json(&shown(&virtual_host)))
}

/// Whoever creates a virtual host may do everything in it.
pub(super) async fn put(
    State(admin): State<Admin>,
    caller: Caller,
    Path(name): Path<String>,
    body: Body,
) -> Answer {
    caller.administrator()?;
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(Error::BadRequest(
            "this cannot be the name of a virtual host".to_owned(),
        ));
    }
    let settings = VirtualHostSettings {
        description: body.text("description")?.unwrap_or_default().to_owned(),
        tags: body.words("tags")?.unwrap_or_default(),
        ..VirtualHostSettings::default()
    };
    let declared = admin
        .broker
        .topology()
        .create_virtual_host(&name, settings.clone())?;
    declared.commit.await?;
    let by = caller.principal.name();
    if !declared.is_new {
        let limits = declared.item.settings();
        let settings = VirtualHostSettings {
            description: settings.description,
            tags: settings.tags,
            ..limits
        };
        declared.item.configure(settings)?.await?;
        return Ok(answer::put(false));
    }
    let all: Arc<str> = ".*".into();
    let permissions = Permissions {
        virtual_host: name.as_str().into(),
        user: by.clone(),
        configure: all.clone(),
        write: all.clone(),
        read: all,
    };
    admin.broker.users().set_permissions(permissions).await?;
    tracing::info!(virtual_host = %name, %by, "a virtual host was created");
    Ok(answer::put(true))
}

/// What users may do in it goes first: should the rest fail, a virtual host is left that nobody may use, and not permissions in
/// one that is yet to come.
pub(super) async fn delete(State(admin): State<Admin>, caller: Caller, Path(name): Path<String>) -> Answer {
    caller.administrator()?;
    admin
        .broker
        .topology()
        .virtual_host(&name)
        .ok_or(Error::NotFound)?;
    admin.broker.users().forget_virtual_host(&name).await?;
    admin.broker.delete_virtual_host(&name).await?.await?;
    tracing::info!(virtual_host = %name, by = %caller.principal.name(), "a virtual host was deleted");
    answer::deleted(true)
}

/// None if there are none.
fn shown_limits(virtual_host: &VirtualHost) -> Option<Value> {
    let settings = virtual_host.settings();
    let limits = [
        (MAX_CONNECTIONS, settings.max_connections),
        (MAX_QUEUES, settings.max_queues),
    ];
    let limits = limits
        .into_iter()
        .filter_map(|(name, limit)| Some((name.to_owned(), limit?.into())));
    let limits: Map<String, Value> = limits.collect();
    (!limits.is_empty()).then(|| json!({ "vhost": &**virtual_host.name(), "value": limits }))
}

pub(super) async fn limits(State(admin): State<Admin>, caller: Caller, wanted: Wanted) -> Answer {
    let all = visible(&admin, &caller);
    let limits = all.iter().filter_map(|virtual_host| shown_limits(virtual_host));
    wanted.list(limits.collect(), Value::to_string, Value::clone)
}

pub(super) async fn limits_of(
    State(admin): State<Admin>,
    caller: Caller,
    Path(name): Path<String>,
    wanted: Wanted,
) -> Answer {
    let virtual_host = caller.look_at(&admin, &name)?;
    let limits = shown_limits(&virtual_host).into_iter().collect();
    wanted.list(limits, Value::to_string, Value::clone)
}

pub(super) async fn put_limit(
    State(admin): State<Admin>,
    caller: Caller,
    Path((name, limit)): Path<(String, String)>,
    body: Body,
) -> Answer {
    let value = body.get("value").and_then(Value::as_i64);
    let value = value.ok_or_else(|| Error::BadRequest("value is to be a number".to_owned()))?;
    // A negative one is no limit.
    set_limit(&admin, &caller, &name, &limit, u64::try_from(value).ok()).await
}

pub(super) async fn delete_limit(
    State(admin): State<Admin>,
    caller: Caller,
    Path((name, limit)): Path<(String, String)>,
) -> Answer {
    set_limit(&admin, &caller, &name, &limit, None).await
}

async fn set_limit(admin: &Admin, caller: &Caller, name: &str, limit: &str, value: Option<u64>) -> Answer {
    caller.administrator()?;
    let virtual_host = admin
        .broker
        .topology()
        .virtual_host(name)
        .ok_or(Error::NotFound)?;
    let mut settings = virtual_host.settings();
    match limit {
        MAX_QUEUES => settings.max_queues = value,
        MAX_CONNECTIONS => settings.max_connections = value,
        other => {
            let reason = format!("'{other}' is no limit: there are {MAX_QUEUES} and {MAX_CONNECTIONS}");
            return Err(Error::BadRequest(reason));
        }
    }
    virtual_host.configure(settings)?.await?;
    tracing::info!(virtual_host = name, limit, value, by = %caller.principal.name(), "a limit was set");
    Ok(answer::put(false))
}
