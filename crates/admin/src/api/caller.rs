//! Who asks, and what that user may do here.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use firth_broker::VirtualHost;
use firth_broker::authorizer::{Access, Authorizer, Operation};
use firth_broker::users::{ADMINISTRATOR, DEFAULT_USER, Origin, Principal, Refused};

use super::answer::Error;
use crate::Admin;

/// Who has one of these tags may ask at all.
const TAGS: [&str; 4] = [ADMINISTRATOR, MONITORING, "policymaker", "management"];
/// May see what is in all virtual hosts.
const MONITORING: &str = "monitoring";
/// Whoever sends one of these is between us and the client.
const FORWARDED: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];

/// The address that a connection came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// A user who has logged in and may use the API.
pub(super) struct Caller {
    pub(super) principal: Principal,
    authorizer: Authorizer,
}

impl FromRequestParts<Admin> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Caller, Error> {
        if let Some(reason) = admin.health.failure() {
            return Err(Error::Unavailable(reason.to_owned()));
        }
        refuse_other_sites(parts)?;
        let (name, password) = credentials(&parts.headers).ok_or(Error::NotAuthenticated)?;
        let origin = origin(parts);
        // A page of any site can have its own name resolve to loopback, and so ask us from the user's own browser.
        if name == DEFAULT_USER && !is_asked_as_loopback(&parts.headers) {
            return Err(Error::NotAuthenticated);
        }
        let users = admin.broker.users();
        let principal = match users.authenticate(&name, &password, origin).await {
            Ok(principal) => principal,
            Err(Refused::Failed) => return Err(Error::Unavailable(Refused::Failed.to_string())),
            Err(reason) => {
                let user = &*name;
                tracing::warn!(user, %reason, "a login over HTTP was refused");
                return Err(Error::NotAuthenticated);
            }
        };
        let authorizer = users.authorizer();
        let caller = Caller {
            principal,
            authorizer,
        };
        match TAGS.iter().any(|tag| caller.has_tag(tag)) {
            true => Ok(caller),
            false => Err(Error::NotAuthorised("Not management user".to_owned())),
        }
    }
}

impl Caller {
    fn has_tag(&self, tag: &str) -> bool {
        self.authorizer.has_tag(&self.principal, tag)
    }

    pub(super) fn administrator(&self) -> Result<(), Error> {
        match self.has_tag(ADMINISTRATOR) {
            true => Ok(()),
            false => Err(Error::NotAuthorised("Not administrator user".to_owned())),
        }
    }

    /// Whether the user may see what is in a virtual host.
    pub(super) fn sees(&self, virtual_host: &str) -> bool {
        self.has_tag(ADMINISTRATOR)
            || self.has_tag(MONITORING)
            || self.access(virtual_host).authorize(&Operation::Open).is_ok()
    }

    /// A virtual host that the user may see.
    pub(super) fn look_at(&self, admin: &Admin, name: &str) -> Result<Arc<VirtualHost>, Error> {
        let virtual_host = admin
            .broker
            .topology()
            .virtual_host(name)
            .ok_or(Error::NotFound)?;
        match self.sees(name) {
            true => Ok(virtual_host),
            false => Err(not_visible()),
        }
    }

    /// A virtual host in which the user wants to change something: the same is asked as of a connection.
    pub(super) fn open(&self, admin: &Admin, name: &str) -> Result<(Arc<VirtualHost>, Access), Error> {
        let virtual_host = admin
            .broker
            .topology()
            .virtual_host(name)
            .ok_or(Error::NotFound)?;
        let mut access = self.access(name);
        match access.authorize(&Operation::Open) {
            Ok(()) => Ok((virtual_host, access)),
            Err(_) => Err(not_visible()),
        }
    }

    fn access(&self, virtual_host: &str) -> Access {
        self.authorizer.access(&self.principal, virtual_host)
    }
}

fn not_visible() -> Error {
    Error::NotAuthorised("User not authorised to access virtual host".to_owned())
}

/// The name and the password of HTTP basic authentication (RFC 7617).
fn credentials(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = given.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let at = decoded.iter().position(|byte| *byte == b':')?;
    let (name, password) = (decoded.get(..at)?, decoded.get(at + 1..)?);
    Some((String::from_utf8(name.to_vec()).ok()?, password.to_vec()))
}

fn origin(parts: &Parts) -> Origin {
    // Where the listener did not say, nobody is taken for a local client.
    let unknown = IpAddr::from([0, 0, 0, 0]);
    let address = parts.extensions.get::<Peer>().map_or(unknown, |peer| peer.0);
    let is_forwarded = FORWARDED
        .iter()
        .any(|name| parts.headers.contains_key(HeaderName::from_static(name)));
    match is_forwarded {
        true => Origin::of_proxy(address),
        false => Origin::of_socket(address),
    }
}

/// Whether the request names this machine by a name that can mean no other. A client of HTTP/1.0 may name none.
fn is_asked_as_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else {
        return true;
    };
    let host = host.to_str().unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Browsers say which site a request comes from. Others change nothing here with what a browser remembers of its user.
fn refuse_other_sites(parts: &Parts) -> Result<(), Error> {
    let (headers, is_read) = (&parts.headers, matches!(parts.method, Method::GET | Method::HEAD));
    let Some(site) = headers.get(header::ORIGIN).filter(|_| !is_read) else {
        return Ok(());
    };
    let host = headers.get(header::HOST).map(|host| host.as_bytes());
    let own = site.as_bytes().strip_prefix(b"http://");
    match own.is_some() && own == host {
        true => Ok(()),
        false => Err(Error::NotAuthorised(
            "the request comes from another site".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn names_that_mean_this_machine_are_known() {
        for host in [
            "localhost",
            "LocalHost:1",
            "127.0.0.1:15672",
            "[::1]:15672",
            "[::1]",
            "127.9.9.9",
        ] {
            assert!(is_asked_as_loopback(&headers(header::HOST, host)), "{host}");
        }
        for host in [
            "example.com",
            "localhost.example.com:1",
            "10.0.0.1",
            "[::2]:1",
            "",
        ] {
            assert!(!is_asked_as_loopback(&headers(header::HOST, host)), "{host}");
        }
    }

    #[test]
    fn credentials_are_those_of_basic_authentication() {
        let of = |value| credentials(&headers(header::AUTHORIZATION, value));
        assert_eq!(of("Basic YTpiOmM="), Some(("a".to_owned(), b"b:c".to_vec())));
        assert_eq!(of("basic YTo="), Some(("a".to_owned(), Vec::new())));
        for wrong in ["", "Basic", "Bearer YTpi", "Basic !", "Basic YQ==", "Basic /zph"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
