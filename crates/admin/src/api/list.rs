//! Lists, which may be long: whole ones are made while they are sent, and a client may ask for pages and for some fields.

use std::io::Write;

use axum::extract::{Extension, FromRequestParts, RawQuery};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::answer::{Answer, Error, headers, json};
use crate::query::parameter;
use crate::server::pieces::{self, Connection, STALL_MAX};

/// Bytes that are handed over at a time.
const PIECE_BYTES: usize = 64 * 1024;
const PAGE_SIZE_MAX: usize = 500;
const PAGE_SIZE_DEFAULT: usize = 100;

/// How a client wants a list.
pub(super) struct Wanted {
    connection: Connection,
    query: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Wanted {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Wanted, Error> {
        let connection = Extension::<Connection>::from_request_parts(parts, state).await;
        let Ok(Extension(connection)) = connection else {
            return Err(Error::Unavailable("the connection is not known".to_owned()));
        };
        let Ok(RawQuery(query)) = RawQuery::from_request_parts(parts, state).await;
        Ok(Wanted { connection, query })
    }
}

impl Wanted {
    /// The items that were asked for, of all. `name` is what names are looked for in.
    pub(super) fn list<T: Send + 'static>(
        self,
        all: Vec<T>,
        name: impl Fn(&T) -> String,
        value: impl Fn(&T) -> Value + Send + 'static,
    ) -> Answer {
        let columns = parameter(self.query.as_deref(), "columns").map(|columns| columns.into_owned());
        let columns: Option<Vec<String>> =
            columns.map(|columns| columns.split(',').map(str::to_owned).collect());
        let shown = move |item: &T| match &columns {
            None => value(item),
            Some(columns) => only(value(item), columns),
        };
        match self.page()? {
            None => Ok(self.whole(all, shown)),
            Some(page) => self.paged(page, all, name, shown),
        }
    }

    fn page(&self) -> Result<Option<(usize, usize)>, Error> {
        let number = |name| parameter(self.query.as_deref(), name).map(|value| value.parse::<usize>());
        let invalid = || Error::BadRequest("Pagination parameters are invalid".to_owned());
        let Some(page) = number("page") else {
            return Ok(None);
        };
        let size = number("page_size").unwrap_or(Ok(PAGE_SIZE_DEFAULT));
        match (page, size) {
            (Ok(page @ 1..), Ok(size @ 1..=PAGE_SIZE_MAX)) => Ok(Some((page, size))),
            _ => Err(invalid()),
        }
    }

    fn paged<T>(
        &self,
        (page, size): (usize, usize),
        all: Vec<T>,
        name: impl Fn(&T) -> String,
        shown: impl Fn(&T) -> Value,
    ) -> Answer {
        let query = self.query.as_deref();
        if parameter(query, "use_regex").is_some_and(|regex| regex == "true") {
            return Err(Error::BadRequest(
                "names are looked for as they are, and not by use_regex".to_owned(),
            ));
        }
        let wanted = parameter(query, "name").unwrap_or_default();
        let total = all.len();
        let found: Vec<T> = all
            .into_iter()
            .filter(|item| name(item).contains(&*wanted))
            .collect();
        let pages = found.len().div_ceil(size);
        if page > pages.max(1) {
            let reason = format!(
                "Page out of range, page: {page} page size: {size}, len: {}",
                found.len()
            );
            return Err(Error::BadRequest(reason));
        }
        let from = (page - 1).saturating_mul(size);
        let items: Vec<Value> = found.iter().skip(from).take(size).map(shown).collect();
        Ok(json(&json!({
            "filtered_count": found.len(),
            "item_count": items.len(),
            "items": items,
            "page": page,
            "page_count": pages,
            "page_size": size,
            "total_count": total,
        })))
    }

    fn whole<T: Send + 'static>(self, all: Vec<T>, shown: impl Fn(&T) -> Value + Send + 'static) -> Response {
        let body = pieces::body(self.connection, PIECE_BYTES, STALL_MAX, move |pieces| {
            let mut before = "[";
            for item in &all {
                write!(pieces, "{before}{}", shown(item))?;
                before = ",";
            }
            write!(pieces, "{}]", if all.is_empty() { before } else { "" })
        });
        (headers(), body).into_response()
    }
}

/// Only these fields of an object.
fn only(value: Value, columns: &[String]) -> Value {
    let Value::Object(fields) = value else {
        return value;
    };
    let kept = fields.into_iter().filter(|(name, _)| columns.contains(name));
    Value::Object(kept.collect::<Map<_, _>>())
}
