//! Quotas: how much a user, a client or an address may use in a second, and for how long who used more is to wait. Who is
//! told to wait, and how, is the protocols' business.
//!
//! The clock is an input. While nobody has a quota of a key, asking costs one load.

mod entity;
mod limits;
mod rate;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::entity::{InvalidQuota, QUOTA_NAME_BYTES_MAX, QuotaEntity, QuotaKey, QuotaLimit, QuotaName};
use self::limits::Limits;
pub use self::limits::QuotaSubject;
use self::rate::{BURST_S, Rate, SAMPLE_MS, Tokens};

/// Entities that have quotas.
pub const QUOTA_ENTITIES_MAX: usize = 50_000;

/// Those that are counted, each for itself; a client chooses its id. Beyond, all others are counted as one.
const USAGES_MAX: usize = 16_384;
/// Those that are kept before it is looked who has been idle.
const SWEEP_AT_MIN: usize = 64;
/// The usage of who has none of its own.
const OTHERS: u64 = 0;

/// All quotas of one entity.
pub type EntityQuotas = BTreeMap<QuotaKey, QuotaLimit>;

/// What is limited and what was used.
#[derive(Debug)]
pub struct Quotas {
    /// A bit for each key of which anybody has a quota.
    keys: AtomicU8,
    entities: Mutex<BTreeMap<QuotaEntity, EntityQuotas>>,
    limiters: [Limiter; QuotaKey::ALL.len()],
}

#[derive(Debug)]
struct Limiter {
    key: QuotaKey,
    used: Mutex<Used>,
    throttled: AtomicU64,
    throttled_ms: AtomicU64,
}

#[derive(Debug, Default)]
struct Used {
    limits: Limits,
    /// By a hash of who shares a limit, whose seed nobody knows: two with the same one would share it.
    usages: HashMap<u64, Usage>,
    hasher: RandomState,
    sweep_at: usize,
    swept_ms: u64,
}

#[derive(Debug)]
enum Usage {
    Rate(Rate),
    Tokens(Tokens),
}

impl Quotas {
    pub(crate) fn new(entities: BTreeMap<QuotaEntity, EntityQuotas>) -> Quotas {
        let quotas = Quotas {
            keys: AtomicU8::new(0),
            entities: Mutex::default(),
            limiters: QuotaKey::ALL.map(Limiter::new),
        };
        for (entity, set) in entities {
            quotas.set(entity, set);
        }
        quotas
    }

    /// Replaces all quotas of an entity. Called by the owner of the definitions alone.
    pub(crate) fn set(&self, entity: QuotaEntity, set: EntityQuotas) {
        let mut keys = 0;
        for (bit, limiter) in self.limiters.iter().enumerate() {
            let mut used = lock(&limiter.used);
            used.limits.set(&entity, set.get(&limiter.key).copied());
            if used.limits.is_empty() {
                used.usages = HashMap::new();
            } else {
                keys |= 1 << bit;
            }
        }
        self.keys.store(keys, Ordering::Relaxed);
        let mut entities = lock(&self.entities);
        match set.is_empty() {
            true => _ = entities.remove(&entity),
            false => _ = entities.insert(entity, set),
        }
    }

    /// All entities that have quotas.
    pub fn entities(&self) -> BTreeMap<QuotaEntity, EntityQuotas> {
        lock(&self.entities).clone()
    }

    /// Whether nobody has any quota.
    pub fn is_empty(&self) -> bool {
        self.keys.load(Ordering::Relaxed) == 0
    }

    /// Whether anybody has a quota of this key.
    pub fn has(&self, key: QuotaKey) -> bool {
        self.keys.load(Ordering::Relaxed) & (1 << key as u8) != 0
    }

    /// Counts what was used, and gives for how long nothing more should be; zero if the limit is kept, or there is none.
    pub fn record(&self, key: QuotaKey, subject: QuotaSubject<'_>, amount: f64, now: Duration) -> Duration {
        let wait = self.with(key, subject, now, |usage, limit, now_ms| {
            usage.add(amount, limit, now_ms);
            usage.wait_ms(limit, now_ms)
        });
        milliseconds(key, wait.unwrap_or(0.0))
    }

    /// Counts what was used, which is felt by whoever uses more.
    pub fn add(&self, key: QuotaKey, subject: QuotaSubject<'_>, amount: f64, now: Duration) {
        self.with(key, subject, now, |usage, limit, now_ms| {
            usage.add(amount, limit, now_ms)
        });
    }

    /// Counts what is to be used, unless too much was used before.
    ///
    /// # Errors
    /// For how long nothing may be used.
    pub fn take(
        &self,
        key: QuotaKey,
        subject: QuotaSubject<'_>,
        amount: f64,
        now: Duration,
    ) -> Result<(), Duration> {
        let wait = self.with(key, subject, now, |usage, limit, now_ms| {
            let wait_ms = usage.wait_ms(limit, now_ms);
            if wait_ms <= 0.0 {
                usage.add(amount, limit, now_ms);
            }
            wait_ms
        });
        match milliseconds(key, wait.unwrap_or(0.0)) {
            Duration::ZERO => Ok(()),
            wait => Err(wait),
        }
    }

    /// Counts what is to be used, unless that is too much and anything was used before: what is too much in itself is never less.
    /// Gives for how long nothing more should be used.
    ///
    /// # Errors
    /// For how long nothing may be used.
    pub fn offer(
        &self,
        key: QuotaKey,
        subject: QuotaSubject<'_>,
        amount: f64,
        now: Duration,
    ) -> Result<Duration, Duration> {
        let offered = self.with(key, subject, now, |usage, limit, now_ms| {
            let is_first = usage.is_unused(limit, now_ms);
            usage.add(amount, limit, now_ms);
            let wait_ms = usage.wait_ms(limit, now_ms);
            let is_taken = is_first || wait_ms <= 0.0;
            if !is_taken {
                usage.add(-amount, limit, now_ms);
            }
            (is_taken, milliseconds(key, wait_ms))
        });
        match offered {
            Some((false, wait)) => Err(wait),
            Some((true, wait)) => Ok(wait),
            None => Ok(Duration::ZERO),
        }
    }

    /// The most that can be used at once without waiting for it, by who used nothing before; `None` without a limit.
    pub fn burst_max(&self, key: QuotaKey, subject: QuotaSubject<'_>) -> Option<f64> {
        if !self.has(key) {
            return None;
        }
        let used = lock(&self.limiter(key).used);
        used.limits.find(subject).map(|(limit, _)| limit.get() * BURST_S)
    }

    /// Notes that somebody is made to wait.
    pub fn throttled(&self, key: QuotaKey, wait: Duration) {
        let limiter = self.limiter(key);
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        limiter.throttled.fetch_add(1, Ordering::Relaxed);
        limiter.throttled_ms.fetch_add(wait_ms, Ordering::Relaxed);
    }

    /// How often somebody was made to wait for each key, and for how long together.
    pub fn waits(&self) -> impl Iterator<Item = (QuotaKey, u64, Duration)> {
        self.limiters.iter().map(|limiter| {
            let throttled_ms = limiter.throttled_ms.load(Ordering::Relaxed);
            (
                limiter.key,
                limiter.throttled.load(Ordering::Relaxed),
                Duration::from_millis(throttled_ms),
            )
        })
    }

    fn limiter(&self, key: QuotaKey) -> &Limiter {
        let [first, ..] = &self.limiters;
        self.limiters.get(key as usize).unwrap_or(first)
    }

    /// `None` where there is no limit.
    fn with<R>(
        &self,
        key: QuotaKey,
        subject: QuotaSubject<'_>,
        now: Duration,
        act: impl FnOnce(&mut Usage, QuotaLimit, u64) -> R,
    ) -> Option<R> {
        if !self.has(key) {
            return None;
        }
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let mut used = lock(&self.limiter(key).used);
        let (limit, scope) = used.limits.find(subject)?;
        let hash = used.hasher.hash_one(scope);
        Some(act(used.usage(key, hash, now_ms), limit, now_ms))
    }
}

impl Limiter {
    fn new(key: QuotaKey) -> Limiter {
        Limiter {
            key,
            used: Mutex::default(),
            throttled: AtomicU64::new(0),
            throttled_ms: AtomicU64::new(0),
        }
    }
}

impl Used {
    fn usage(&mut self, key: QuotaKey, hash: u64, now_ms: u64) -> &mut Usage {
        let mut hash = hash;
        if !self.usages.contains_key(&hash) {
            self.sweep(now_ms);
            if self.usages.len() >= USAGES_MAX {
                hash = OTHERS;
            }
        }
        self.usages.entry(hash).or_insert_with(|| Usage::new(key))
    }

    /// Forgets who has been idle, now and then.
    fn sweep(&mut self, now_ms: u64) {
        let is_full = self.usages.len() >= USAGES_MAX;
        if self.usages.len() < self.sweep_at.max(SWEEP_AT_MIN)
            || is_full && now_ms.saturating_sub(self.swept_ms) < SAMPLE_MS
        {
            return;
        }
        self.usages.retain(|_, usage| !usage.is_idle(now_ms));
        self.sweep_at = self.usages.len().saturating_mul(2).min(USAGES_MAX);
        self.swept_ms = now_ms;
    }
}

impl Usage {
    fn new(key: QuotaKey) -> Usage {
        match key {
            QuotaKey::ProducerByteRate
            | QuotaKey::ConsumerByteRate
            | QuotaKey::RequestPercentage
            | QuotaKey::ConnectionCreationRate => Usage::Rate(Rate::default()),
            QuotaKey::ControllerMutationRate => Usage::Tokens(Tokens::default()),
        }
    }

    fn add(&mut self, amount: f64, limit: QuotaLimit, now_ms: u64) {
        match self {
            Usage::Rate(rate) => rate.add(amount, now_ms),
            Usage::Tokens(tokens) => tokens.take(amount, limit, now_ms),
        }
    }

    fn wait_ms(&mut self, limit: QuotaLimit, now_ms: u64) -> f64 {
        match self {
            Usage::Rate(rate) => rate.excess_ms(limit, now_ms),
            Usage::Tokens(tokens) => tokens.missing_ms(limit, now_ms),
        }
    }

    /// Whether as much may be used as ever.
    fn is_unused(&mut self, limit: QuotaLimit, now_ms: u64) -> bool {
        match self {
            Usage::Rate(rate) => rate.is_unused(now_ms),
            Usage::Tokens(tokens) => tokens.is_unused(limit, now_ms),
        }
    }

    fn is_idle(&mut self, now_ms: u64) -> bool {
        match self {
            Usage::Rate(rate) => rate.is_idle(now_ms),
            Usage::Tokens(tokens) => tokens.is_idle(now_ms),
        }
    }
}

/// Whole milliseconds. What is no amount of data is never waited for longer than a sample.
fn milliseconds(key: QuotaKey, wait_ms: f64) -> Duration {
    let wait_ms_max = match key {
        QuotaKey::RequestPercentage | QuotaKey::ConnectionCreationRate => SAMPLE_MS as f64,
        QuotaKey::ProducerByteRate | QuotaKey::ConsumerByteRate | QuotaKey::ControllerMutationRate => {
            f64::from(i32::MAX)
        }
    };
    Duration::from_millis(wait_ms.round().clamp(0.0, wait_ms_max) as u64)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is counted is whole whenever the lock is free.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
