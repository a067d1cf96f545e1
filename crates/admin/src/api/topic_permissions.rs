//! `/api/topic-permissions`: with which routing keys users may pass topic exchanges.

use axum::extract::{Path, State};
use firth_broker::users::TopicPermissions;
use serde_json::{Value, json};

use super::answer::{self, Answer, Error};
use super::body::Body;
use super::caller::Caller;
use super::list::Wanted;
use super::permissions::{check_virtual_host, unknown_is_bad};
use crate::Admin;

fn shown(of: &TopicPermissions) -> Value {
    json!({
        "user": &*of.user,
        "vhost": &*of.virtual_host,
        "exchange": &*of.exchange,
        "write": &*of.write,
        "read": &*of.read,
    })
}

async fn some(
    admin: &Admin,
    caller: &Caller,
    wanted: Wanted,
    is_wanted: impl Fn(&TopicPermissions) -> bool,
) -> Answer {
    caller.administrator()?;
    let mut all = admin.broker.users().topic_permissions();
    all.retain(is_wanted);
    admin.broker.users().commit().await?;
    wanted.list(all, |of| of.user.to_string(), shown)
}

pub(super) async fn list(State(admin): State<Admin>, caller: Caller, wanted: Wanted) -> Answer {
    some(&admin, &caller, wanted, |_| true).await
}

pub(super) async fn of_user(
    State(admin): State<Admin>,
    caller: Caller,
    Path(user): Path<String>,
    wanted: Wanted,
) -> Answer {
    caller.administrator()?;
    admin.broker.users().user(&user).ok_or(Error::NotFound)?;
    some(&admin, &caller, wanted, |of| *of.user == *user).await
}

pub(super) async fn of_virtual_host(
    State(admin): State<Admin>,
    caller: Caller,
    Path(virtual_host): Path<String>,
    wanted: Wanted,
) -> Answer {
    caller.administrator()?;
    caller.look_at(&admin, &virtual_host)?;
    some(&admin, &caller, wanted, |of| *of.virtual_host == *virtual_host).await
}

type PermissionPath = Path<(String, String)>;

/// One for each exchange.
pub(super) async fn get(
    State(admin): State<Admin>,
    caller: Caller,
    Path((virtual_host, user)): PermissionPath,
    wanted: Wanted,
) -> Answer {
    caller.administrator()?;
    let is_wanted = |of: &TopicPermissions| *of.virtual_host == *virtual_host && *of.user == *user;
    let is_there = admin.broker.users().topic_permissions().iter().any(is_wanted);
    match is_there {
        true => some(&admin, &caller, wanted, is_wanted).await,
        false => Err(Error::NotFound),
    }
}

pub(super) async fn put(
    State(admin): State<Admin>,
    caller: Caller,
    Path((virtual_host, user)): PermissionPath,
    body: Body,
) -> Answer {
    caller.administrator()?;
    let [exchange, write, read] = body.texts(["exchange", "write", "read"])?;
    check_virtual_host(&admin, &virtual_host)?;
    let permissions = TopicPermissions {
        virtual_host: virtual_host.as_str().into(),
        user: user.as_str().into(),
        exchange: exchange.into(),
        write: write.into(),
        read: read.into(),
    };
    let set = admin.broker.users().set_topic_permissions(permissions).await;
    let is_new = set.map_err(unknown_is_bad)?;
    tracing::info!(%user, %virtual_host, exchange, by = %caller.principal.name(), "topic permissions were set");
    Ok(answer::put(is_new))
}

/// For all exchanges, as RabbitMQ does.
pub(super) async fn delete(
    State(admin): State<Admin>,
    caller: Caller,
    Path((virtual_host, user)): PermissionPath,
) -> Answer {
    caller.administrator()?;
    let users = admin.broker.users();
    let cleared = users.clear_topic_permissions(&virtual_host, &user, None).await?;
    tracing::info!(%user, %virtual_host, by = %caller.principal.name(), "topic permissions were cleared");
    answer::deleted(cleared)
}
