//! Who may have a quota, and of what.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Bytes of the name of a user or a client that has a quota of its own.
pub const QUOTA_NAME_BYTES_MAX: usize = 1024;

/// What is limited, each for a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QuotaKey {
    /// Bytes of requests that produce.
    ProducerByteRate,
    /// Bytes of answers that hold records.
    ConsumerByteRate,
    /// Time that the broker works on requests, in percent of one thread.
    RequestPercentage,
    /// Partitions that are created and deleted.
    ControllerMutationRate,
    /// Connections that are opened.
    ConnectionCreationRate,
}

/// A limit that can be kept: a number above 0.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct QuotaLimit(f64);

/// A limit is never NaN.
impl Eq for QuotaLimit {}

/// The name of a user or a client, or all that have no quota of their own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QuotaName {
    Default,
    Named(Arc<str>),
}

/// Who has a quota.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QuotaEntity {
    User(QuotaName),
    ClientId(QuotaName),
    UserClientId(QuotaName, QuotaName),
    /// None for all addresses that have no quota of their own.
    Ip(Option<IpAddr>),
}

/// Why a quota cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuota {
    #[error("Invalid configuration key {0}")]
    Key(String),
    #[error("Quota {0} must be greater than 0")]
    NotPositive(&'static str),
    #[error("{0} cannot be a fractional value.")]
    Fractional(&'static str),
    #[error("Proposed value for {0} is too large")]
    TooLarge(&'static str),
    #[error("a name has {bytes} bytes, and at most {QUOTA_NAME_BYTES_MAX} are possible")]
    NameTooLong { bytes: usize },
}

impl QuotaKey {
    pub const ALL: [QuotaKey; 5] = [
        QuotaKey::ProducerByteRate,
        QuotaKey::ConsumerByteRate,
        QuotaKey::RequestPercentage,
        QuotaKey::ControllerMutationRate,
        QuotaKey::ConnectionCreationRate,
    ];

    pub fn name(self) -> &'static str {
        match self {
            QuotaKey::ProducerByteRate => "producer_byte_rate",
            QuotaKey::ConsumerByteRate => "consumer_byte_rate",
            QuotaKey::RequestPercentage => "request_percentage",
            QuotaKey::ControllerMutationRate => "controller_mutation_rate",
            QuotaKey::ConnectionCreationRate => "connection_creation_rate",
        }
    }

    /// The key of this name that such an entity may have.
    ///
    /// # Errors
    /// There is none.
    pub fn of(entity: &QuotaEntity, name: &str) -> Result<QuotaKey, InvalidQuota> {
        let of_ip = matches!(entity, QuotaEntity::Ip(_));
        let mut keys = QuotaKey::ALL.into_iter();
        keys.find(|key| key.name() == name && (*key == QuotaKey::ConnectionCreationRate) == of_ip)
            .ok_or_else(|| InvalidQuota::Key(name.to_owned()))
    }

    /// The largest limit of a key that has whole numbers only.
    fn whole_max(self) -> Option<f64> {
        match self {
            QuotaKey::ProducerByteRate | QuotaKey::ConsumerByteRate => Some(2_f64.powi(63)),
            QuotaKey::ConnectionCreationRate => Some(f64::from(i32::MAX)),
            QuotaKey::RequestPercentage | QuotaKey::ControllerMutationRate => None,
        }
    }
}

impl QuotaLimit {
    /// # Errors
    /// No limit of the key can be this number.
    pub fn new(key: QuotaKey, value: f64) -> Result<QuotaLimit, InvalidQuota> {
        let name = key.name();
        if value.is_nan() || value <= 0.0 {
            return Err(InvalidQuota::NotPositive(name));
        }
        if value > key.whole_max().unwrap_or(f64::MAX) {
            return Err(InvalidQuota::TooLarge(name));
        }
        if key.whole_max().is_some() && value % 1.0 > 1e-6 {
            return Err(InvalidQuota::Fractional(name));
        }
        Ok(QuotaLimit(value))
    }

    pub fn get(self) -> f64 {
        self.0
    }
}

impl fmt::Display for QuotaEntity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QuotaEntity::User(user) => write!(f, "user {user}"),
            QuotaEntity::ClientId(client_id) => write!(f, "client id {client_id}"),
            QuotaEntity::UserClientId(user, client_id) => write!(f, "user {user}, client id {client_id}"),
            QuotaEntity::Ip(None) => f.write_str("any address"),
            QuotaEntity::Ip(Some(ip)) => write!(f, "address {ip}"),
        }
    }
}

impl fmt::Display for QuotaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QuotaName::Default => f.write_str("<default>"),
            QuotaName::Named(name) => write!(f, "{name:?}"),
        }
    }
}

impl QuotaName {
    /// # Errors
    /// The name is too long.
    pub fn named(name: &str) -> Result<QuotaName, InvalidQuota> {
        match name.len() {
            ..=QUOTA_NAME_BYTES_MAX => Ok(QuotaName::Named(name.into())),
            bytes => Err(InvalidQuota::NameTooLong { bytes }),
        }
    }
}
