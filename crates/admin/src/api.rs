//! `/api`: administration over HTTP, with the paths and the JSON of RabbitMQ's management API, as tools use it.
//!
//! Every request is authenticated (HTTP basic authentication against the broker's users), by a user with one of the management's
//! tags. What concerns users and virtual hosts takes an administrator. What is done in a virtual host takes the permissions that it
//! takes in AMQP, whatever the tags.
//!
//! It differs from RabbitMQ's in this: no answer has a password or what is kept of one; `PUT /api/users/NAME` takes `keep_password`;
//! bindings may lead to topics (`/t/TOPIC`); what a broker without statistics does not know is left out.

mod answer;
mod arguments;
mod bindings;
mod body;
mod caller;
mod exchanges;
mod list;
mod overview;
mod permissions;
mod queues;
mod topic_permissions;
mod users;
mod virtual_hosts;

use axum::Router;
use axum::routing::{get, post};

pub(crate) use self::answer::not_found;
pub(crate) use self::caller::Peer;
use crate::Admin;

/// All paths below `/api`.
pub(crate) fn router() -> Router<Admin> {
    of_users().merge(of_virtual_hosts()).merge(of_topology())
}

fn of_users() -> Router<Admin> {
    let user = get(users::get).put(users::put).delete(users::delete);
    let permission = get(permissions::get)
        .put(permissions::put)
        .delete(permissions::delete);
    let topic_permission = get(topic_permissions::get)
        .put(topic_permissions::put)
        .delete(topic_permissions::delete);
    Router::new()
        .route("/api/whoami", get(overview::whoami))
        .route("/api/overview", get(overview::overview))
        .route("/api/users", get(users::list))
        .route("/api/users/without-permissions", get(users::without_permissions))
        .route("/api/users/bulk-delete", post(users::bulk_delete))
        .route("/api/users/{user}", user)
        .route("/api/users/{user}/permissions", get(permissions::of_user))
        .route(
            "/api/users/{user}/topic-permissions",
            get(topic_permissions::of_user),
        )
        .route("/api/permissions", get(permissions::list))
        .route("/api/permissions/{vhost}/{user}", permission)
        .route("/api/topic-permissions", get(topic_permissions::list))
        .route("/api/topic-permissions/{vhost}/{user}", topic_permission)
}

fn of_virtual_hosts() -> Router<Admin> {
    let virtual_host = get(virtual_hosts::get)
        .put(virtual_hosts::put)
        .delete(virtual_hosts::delete);
    let limit = axum::routing::put(virtual_hosts::put_limit).delete(virtual_hosts::delete_limit);
    Router::new()
        .route("/api/vhosts", get(virtual_hosts::list))
        .route("/api/vhosts/{vhost}", virtual_host)
        .route(
            "/api/vhosts/{vhost}/permissions",
            get(permissions::of_virtual_host),
        )
        .route(
            "/api/vhosts/{vhost}/topic-permissions",
            get(topic_permissions::of_virtual_host),
        )
        .route("/api/vhost-limits", get(virtual_hosts::limits))
        .route("/api/vhost-limits/{vhost}", get(virtual_hosts::limits_of))
        .route("/api/vhost-limits/{vhost}/{limit}", limit)
}

fn of_topology() -> Router<Admin> {
    let binding = "/api/bindings/{vhost}/e/{source}/{kind}/{destination}";
    Router::new()
        .route("/api/exchanges", get(exchanges::list))
        .route("/api/exchanges/{vhost}", get(exchanges::list_of))
        .route(
            "/api/exchanges/{vhost}/{exchange}",
            get(exchanges::get).put(exchanges::put).delete(exchanges::delete),
        )
        .route(
            "/api/exchanges/{vhost}/{exchange}/bindings/source",
            get(bindings::from),
        )
        .route(
            "/api/exchanges/{vhost}/{exchange}/bindings/destination",
            get(bindings::to_exchange),
        )
        .route("/api/queues", get(queues::list))
        .route("/api/queues/{vhost}", get(queues::list_of))
        .route(
            "/api/queues/{vhost}/{queue}",
            get(queues::get).put(queues::put).delete(queues::delete),
        )
        .route(
            "/api/queues/{vhost}/{queue}/contents",
            axum::routing::delete(queues::purge),
        )
        .route("/api/queues/{vhost}/{queue}/bindings", get(bindings::to_queue))
        .route("/api/bindings", get(bindings::list))
        .route("/api/bindings/{vhost}", get(bindings::list_of))
        .route(binding, get(bindings::between).post(bindings::post))
        .route(
            &format!("{binding}/{{properties}}"),
            get(bindings::get).delete(bindings::delete),
        )
}

#[cfg(test)]
mod tests;
