//! What a request brings: a JSON object, or nothing.

use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::answer::Error;

const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How long a client may take to send it.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct Body(Map<String, Value>);

impl<S: Sync> FromRequest<S> for Body {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Body, Error> {
        let bytes = timeout(BODY_TIMEOUT, to_bytes(request.into_body(), BODY_BYTES_MAX)).await;
        let bytes = match bytes {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(_)) => return Err(Error::TooLarge),
            Err(_) => {
                return Err(Error::BadRequest(
                    "the body of the request does not come".to_owned(),
                ));
            }
        };
        if bytes.is_empty() {
            return Ok(Body(Map::new()));
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(fields)) => Ok(Body(fields)),
            _ => Err(Error::BadRequest("not_json".to_owned())),
        }
    }
}

impl Body {
    pub(super) fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    /// None if there is no such field.
    pub(super) fn text(&self, field: &str) -> Result<Option<&str>, Error> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Error::BadRequest(format!("{field} is to be a string"))),
        }
    }

    /// Not set if there is no such field.
    pub(super) fn flag(&self, field: &str) -> Result<bool, Error> {
        match self.get(field) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if text == "true" => Ok(true),
            Some(Value::String(text)) if text == "false" => Ok(false),
            Some(_) => Err(Error::BadRequest(format!("{field} is to be true or false"))),
        }
    }

    /// Fields that all have to be there.
    pub(super) fn texts<const N: usize>(&self, fields: [&str; N]) -> Result<[&str; N], Error> {
        let missing = fields.iter().find(|field| self.get(field).is_none());
        if let Some(missing) = missing {
            return Err(Error::BadRequest(format!("[{{key_missing,{missing}}}]")));
        }
        let mut texts = [""; N];
        for (text, field) in texts.iter_mut().zip(fields) {
            *text = self.text(field)?.unwrap_or_default();
        }
        Ok(texts)
    }

    /// A list, which may also be a text with commas. None if there is no such field.
    pub(super) fn words(&self, field: &str) -> Result<Option<Vec<String>>, Error> {
        let invalid = || Error::BadRequest(format!("{field} is to be a list of strings"));
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => {
                let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
                Ok(Some(words.map(str::to_owned).collect()))
            }
            Some(Value::Array(words)) => {
                let words = words.iter().map(|word| word.as_str().map(str::to_owned));
                words.collect::<Option<_>>().map(Some).ok_or_else(invalid)
            }
            Some(_) => Err(invalid()),
        }
    }
}
