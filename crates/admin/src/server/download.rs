//! `GET /backup`. There is one at a time, since each keeps segments on the disk that retention has given up.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::pieces::{self, Connection, STALL_MAX};
use crate::Admin;
use crate::backup::Backup;

/// Bytes that are handed over at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// One backup at a time, whatever listener it is asked of; clones share it.
#[derive(Clone)]
pub struct BackupSlot {
    slot: Arc<Semaphore>,
    pub(super) stall_max: Duration,
}

impl Default for BackupSlot {
    fn default() -> BackupSlot {
        BackupSlot {
            slot: Arc::new(Semaphore::new(1)),
            stall_max: STALL_MAX,
        }
    }
}

pub(super) async fn backup(
    State(admin): State<Admin>,
    Extension(connection): Extension<Connection>,
) -> Response {
    let refused = |reason: &str| (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response();
    if let Some(reason) = admin.health.failure() {
        return refused(reason);
    }
    let Ok(slot) = admin.backups.slot.clone().try_acquire_owned() else {
        return refused("another backup is being taken; try again when it is done");
    };
    let backup = match Backup::begin(&admin.engine, &admin.broker).await {
        Ok(backup) => backup,
        Err(error) => return refused(&format!("no backup can be taken now: {error}")),
    };
    let manifest = backup.manifest();
    let name = format!("firth-{}-{}.tar", manifest.cluster_id, manifest.created_ms);
    tracing::info!(
        segments = manifest.files.len(),
        bytes = manifest.bytes(),
        "a backup is being taken"
    );
    let body = pieces::body(connection, PIECE_BYTES, admin.backups.stall_max, move |pieces| {
        let _slot = slot;
        let written = backup.write(pieces);
        match &written {
            Ok(_) => tracing::info!("the backup is taken"),
            Err(error) => tracing::warn!(%error, "a backup is given up"),
        }
        written.map(|_| ())
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-tar".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    (headers, body).into_response()
}

#[cfg(test)]
mod tests;
