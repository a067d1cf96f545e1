//! Answers, and the errors among them, in the words of RabbitMQ's management API.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use firth_amqp::Refused;
use firth_amqp_codec::ReplyCode;
use firth_broker::TopologyError;
use firth_broker::authorizer::Denied;
use firth_broker::users::UsersError;
use firth_broker::{Failed, NotDeleted, StateError};
use serde_json::{Value, json};

/// What nodes are called where there is one.
pub(super) const NODE: &str = "firth";

pub(super) type Answer = Result<Response, Error>;

/// Why a request is refused.
#[derive(Debug)]
pub(super) enum Error {
    /// Nobody has logged in, or not with the right password.
    NotAuthenticated,
    /// Who logged in may not do this.
    NotAuthorised(String),
    BadRequest(String),
    NotFound,
    /// What the request names besides its path.
    Missing(String),
    TooLarge,
    /// Try again later.
    Unavailable(String),
}

impl Error {
    fn parts(self) -> (StatusCode, &'static str, String) {
        match self {
            Error::NotAuthenticated => (
                StatusCode::UNAUTHORIZED,
                "not_authorized",
                "Login failed".to_owned(),
            ),
            Error::NotAuthorised(reason) => (StatusCode::UNAUTHORIZED, "not_authorised", reason),
            Error::BadRequest(reason) => (StatusCode::BAD_REQUEST, "bad_request", reason),
            Error::NotFound => (StatusCode::NOT_FOUND, "Object Not Found", "Not Found".to_owned()),
            Error::Missing(reason) => (StatusCode::NOT_FOUND, "not_found", reason),
            Error::TooLarge => {
                let reason = "the body of the request is too large".to_owned();
                (StatusCode::PAYLOAD_TOO_LARGE, "bad_request", reason)
            }
            Error::Unavailable(reason) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", reason),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let asks_for_login = matches!(self, Error::NotAuthenticated);
        let (status, error, reason) = self.parts();
        let mut response = json(&json!({ "error": error, "reason": reason }));
        *response.status_mut() = status;
        if asks_for_login {
            let basic = HeaderValue::from_static("Basic realm=\"Firth Management\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
        }
        response
    }
}

impl From<Failed> for Error {
    fn from(error: Failed) -> Error {
        Error::Unavailable(error.to_string())
    }
}

impl From<Denied> for Error {
    fn from(_: Denied) -> Error {
        Error::NotAuthorised("Access refused.".to_owned())
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Error {
        match refused {
            Refused::Exception { code, text } => match code {
                ReplyCode::AccessRefused => Error::NotAuthorised("Access refused.".to_owned()),
                ReplyCode::NotFound => Error::Missing(text),
                ReplyCode::ResourceError | ReplyCode::InternalError => Error::Unavailable(text),
                _ => Error::BadRequest(text),
            },
            Refused::Unavailable => Error::Unavailable(refused.to_string()),
        }
    }
}

impl From<UsersError> for Error {
    fn from(error: UsersError) -> Error {
        match error {
            UsersError::UnknownUser(_) => Error::NotFound,
            UsersError::Full | UsersError::Failed => Error::Unavailable(error.to_string()),
            UsersError::InvalidName
            | UsersError::InvalidPassword
            | UsersError::InvalidTags
            | UsersError::InvalidExpression(_)
            | UsersError::TooMany => Error::BadRequest(error.to_string()),
        }
    }
}

impl From<TopologyError> for Error {
    fn from(error: TopologyError) -> Error {
        match error {
            TopologyError::UnknownVirtualHost(_)
            | TopologyError::UnknownExchange { .. }
            | TopologyError::UnknownQueue { .. }
            | TopologyError::UnknownTopic(_) => Error::NotFound,
            TopologyError::PredeclaredExchange(_) | TopologyError::DefaultExchange => {
                Error::NotAuthorised("Access refused.".to_owned())
            }
            TopologyError::State(StateError::Full | StateError::Failed) => {
                Error::Unavailable(error.to_string())
            }
            TopologyError::QueueNotDeleted { queue, reason } => Error::BadRequest(match reason {
                NotDeleted::InUse => format!("queue '{queue}' in use"),
                NotDeleted::NotEmpty => format!("queue '{queue}' not empty"),
            }),
            other => Error::BadRequest(other.to_string()),
        }
    }
}

/// What is not there.
pub(crate) fn not_found() -> Response {
    Error::NotFound.into_response()
}

pub(super) fn json(value: &Value) -> Response {
    (headers(), value.to_string()).into_response()
}

pub(super) fn texts(shared: &[Arc<str>]) -> Vec<&str> {
    shared.iter().map(|text| &**text).collect()
}

/// Nothing of it is kept by what lies between, and no browser takes it for anything but data.
pub(super) fn headers() -> [(header::HeaderName, &'static str); 4] {
    [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
    ]
}

/// What was put there.
pub(super) fn put(is_new: bool) -> Response {
    match is_new {
        true => StatusCode::CREATED.into_response(),
        false => StatusCode::NO_CONTENT.into_response(),
    }
}

/// What was deleted, or was not there.
pub(super) fn deleted(was_there: bool) -> Answer {
    match was_there {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(Error::NotFound),
    }
}
