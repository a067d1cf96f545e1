//! `/api/users`. What is kept of a password is in no answer.

use std::collections::HashSet;

use axum::extract::{Path, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use firth_broker::users::{Imported, ImportedDigest, NewPassword, PasswordChange, User, UsersError};
use serde_json::{Value, json};

use super::answer::{self, Answer, Error, json, texts};
use super::body::Body;
use super::caller::Caller;
use super::list::Wanted;
use crate::Admin;

fn shown(user: &User) -> Value {
    json!({
        "name": &*user.name,
        "tags": texts(&user.tags),
        "has_password": user.has_password,
        "limits": {},
    })
}

fn name(user: &User) -> String {
    user.name.to_string()
}

pub(super) async fn list(State(admin): State<Admin>, caller: Caller, wanted: Wanted) -> Answer {
    caller.administrator()?;
    admin.broker.users().commit().await?;
    wanted.list(admin.broker.users().users(), name, shown)
}

pub(super) async fn without_permissions(
    State(admin): State<Admin>,
    caller: Caller,
    wanted: Wanted,
) -> Answer {
    caller.administrator()?;
    let permissions = admin.broker.users().permissions();
    let permitted: HashSet<_> = permissions.into_iter().map(|of| of.user).collect();
    let mut users = admin.broker.users().users();
    users.retain(|user| !permitted.contains(&user.name));
    admin.broker.users().commit().await?;
    wanted.list(users, name, shown)
}

pub(super) async fn get(State(admin): State<Admin>, caller: Caller, Path(name): Path<String>) -> Answer {
    caller.administrator()?;
    let user = admin.broker.users().user(&name).ok_or(Error::NotFound)?;
    admin.broker.users().commit().await?;
    Ok(json(&shown(&user)))
}

pub(super) async fn put(
    State(admin): State<Admin>,
    caller: Caller,
    Path(name): Path<String>,
    body: Body,
) -> Answer {
    caller.administrator()?;
    let tags = body.words("tags")?;
    let tags = tags.ok_or_else(|| Error::BadRequest("tags_not_present".to_owned()))?;
    let is_new = admin
        .broker
        .users()
        .put(&name, password(&body)?, Some(tags))
        .await?;
    tracing::info!(user = %name, by = %caller.principal.name(), is_new, "a user was put");
    Ok(answer::put(is_new))
}

/// Without a password, the user has none from then on: as RabbitMQ, and unlike it only if `keep_password` says so.
fn password(body: &Body) -> Result<PasswordChange, Error> {
    if body.get("keep_password") == Some(&Value::Bool(true)) {
        return Ok(PasswordChange::Keep);
    }
    if let Some(password) = body.text("password")? {
        return Ok(match password {
            "" => PasswordChange::Remove,
            password => PasswordChange::Set(NewPassword::new(password)),
        });
    }
    match body.text("password_hash")? {
        None | Some("") => Ok(PasswordChange::Remove),
        Some(hash) => imported(hash, body.text("hashing_algorithm")?).map(PasswordChange::Import),
    }
}

/// What RabbitMQ keeps of a password, as its definitions have it.
fn imported(hash: &str, algorithm: Option<&str>) -> Result<Imported, Error> {
    let digest = match algorithm {
        None | Some("rabbit_password_hashing_sha256") => ImportedDigest::Sha256,
        Some("rabbit_password_hashing_sha512") => ImportedDigest::Sha512,
        Some(other) => {
            let reason = format!("hashing_algorithm '{other}' is not supported: set a password");
            return Err(Error::BadRequest(reason));
        }
    };
    let bytes = STANDARD.decode(hash).ok();
    let imported = bytes.and_then(|bytes| Imported::new(digest, &bytes));
    imported.ok_or_else(|| Error::BadRequest("password_hash is no salt and digest in base64".to_owned()))
}

pub(super) async fn delete(State(admin): State<Admin>, caller: Caller, Path(name): Path<String>) -> Answer {
    caller.administrator()?;
    admin.broker.users().delete(&name).await?;
    tracing::info!(user = %name, by = %caller.principal.name(), "a user was deleted");
    answer::deleted(true)
}

/// Those that are not there are passed over.
pub(super) async fn bulk_delete(State(admin): State<Admin>, caller: Caller, body: Body) -> Answer {
    caller.administrator()?;
    for name in body.words("users")?.unwrap_or_default() {
        match admin.broker.users().delete(&name).await {
            Ok(()) => tracing::info!(user = %name, by = %caller.principal.name(), "a user was deleted"),
            Err(UsersError::UnknownUser(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    answer::deleted(true)
}
