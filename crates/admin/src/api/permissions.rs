//! `/api/permissions`: what users may do in virtual hosts.

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use firth_broker::users::{Permissions, UsersError};
use serde_json::{Value, json};

use super::answer::{self, Answer, Error, json};
use super::body::Body;
use super::caller::Caller;
use super::list::Wanted;
use crate::Admin;

fn shown(of: &Permissions) -> Value {
    json!({
        "user": &*of.user,
        "vhost": &*of.virtual_host,
        "configure": &*of.configure,
        "write": &*of.write,
        "read": &*of.read,
    })
}

async fn some(
    admin: &Admin,
    caller: &Caller,
    wanted: Wanted,
    is_wanted: impl Fn(&Permissions) -> bool,
) -> Answer {
    caller.administrator()?;
    let mut all = admin.broker.users().permissions();
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

pub(super) async fn get(
    State(admin): State<Admin>,
    caller: Caller,
    Path((virtual_host, user)): PermissionPath,
) -> Answer {
    caller.administrator()?;
    let all = admin.broker.users().permissions();
    let found = all
        .iter()
        .find(|of| *of.virtual_host == *virtual_host && *of.user == *user);
    admin.broker.users().commit().await?;
    found
        .map(|of| json(&shown(of)).into_response())
        .ok_or(Error::NotFound)
}

/// A user or a virtual host that permissions are given in, and that are not there.
pub(super) fn unknown_is_bad(error: UsersError) -> Error {
    match error {
        UsersError::UnknownUser(_) => Error::BadRequest("vhost_or_user_not_found".to_owned()),
        error => error.into(),
    }
}

pub(super) fn check_virtual_host(admin: &Admin, virtual_host: &str) -> Result<(), Error> {
    match admin.broker.topology().virtual_host(virtual_host) {
        Some(_) => Ok(()),
        None => Err(Error::BadRequest("vhost_or_user_not_found".to_owned())),
    }
}

pub(super) async fn put(
    State(admin): State<Admin>,
    caller: Caller,
    Path((virtual_host, user)): PermissionPath,
    body: Body,
) -> Answer {
    caller.administrator()?;
    let [configure, write, read] = body.texts(["configure", "write", "read"])?;
    check_virtual_host(&admin, &virtual_host)?;
    let permissions = Permissions {
        virtual_host: virtual_host.as_str().into(),
        user: user.as_str().into(),
        configure: configure.into(),
        write: write.into(),
        read: read.into(),
    };
    let set = admin.broker.users().set_permissions(permissions).await;
    let is_new = set.map_err(unknown_is_bad)?;
    tracing::info!(%user, %virtual_host, by = %caller.principal.name(), "permissions were set");
    Ok(answer::put(is_new))
}

pub(super) async fn delete(
    State(admin): State<Admin>,
    caller: Caller,
    Path((virtual_host, user)): PermissionPath,
) -> Answer {
    caller.administrator()?;
    let cleared = admin
        .broker
        .users()
        .clear_permissions(&virtual_host, &user)
        .await?;
    tracing::info!(%user, %virtual_host, by = %caller.principal.name(), "permissions were cleared");
    answer::deleted(cleared)
}
