//! How much was used, as Apache Kafka measures it: a rate over samples of a second each, or tokens that come back at the
//! rate of the limit.

use std::collections::VecDeque;

use super::QuotaLimit;

/// Samples that make a rate (`quota.window.num`).
const SAMPLES: usize = 11;
/// The length of one (`quota.window.size.seconds`).
pub(super) const SAMPLE_MS: u64 = 1000;
/// What is older does not count.
const WINDOW_MS: u64 = SAMPLES as u64 * SAMPLE_MS;

/// What may be used at once by who used nothing for long, in seconds of the limit: more is never possible without waiting.
pub(super) const BURST_S: f64 = (SAMPLES - 1) as f64;

/// A rate. It is that of at least ten seconds, so that a burst at the beginning is no violation.
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// One more than make the rate, as the first may still be partly within the window.
    samples: VecDeque<Sample>,
}

#[derive(Debug)]
struct Sample {
    begun_ms: u64,
    last_ms: u64,
    amount: f64,
}

impl Rate {
    pub(super) fn add(&mut self, amount: f64, now_ms: u64) {
        match self.samples.back_mut() {
            Some(sample) if now_ms.saturating_sub(sample.begun_ms) < SAMPLE_MS => {
                sample.amount += amount;
                sample.last_ms = now_ms;
            }
            _ => {
                if self.samples.len() > SAMPLES {
                    self.samples.pop_front();
                }
                self.samples.push_back(Sample {
                    begun_ms: now_ms,
                    last_ms: now_ms,
                    amount,
                });
            }
        }
    }

    /// Milliseconds in which nothing may be used, for the rate to be the limit again; 0 if it is not above it.
    pub(super) fn excess_ms(&mut self, limit: QuotaLimit, now_ms: u64) -> f64 {
        self.forget(now_ms);
        let span_ms = self.span_ms(now_ms) as f64;
        let rate = self.amount() / (span_ms / 1000.0);
        if rate <= limit.get() {
            return 0.0;
        }
        (rate - limit.get()) / limit.get() * span_ms
    }

    /// Whether it is what it is for who never used anything.
    pub(super) fn is_idle(&mut self, now_ms: u64) -> bool {
        self.forget(now_ms);
        self.samples.is_empty()
    }

    /// Whether nothing was used, or all was given back.
    pub(super) fn is_unused(&mut self, now_ms: u64) -> bool {
        self.forget(now_ms);
        self.amount() <= 0.0
    }

    fn amount(&self) -> f64 {
        self.samples.iter().map(|sample| sample.amount).sum()
    }

    fn forget(&mut self, now_ms: u64) {
        let is_old = |sample: &Sample| now_ms.saturating_sub(sample.last_ms) >= WINDOW_MS;
        while self.samples.front().is_some_and(is_old) {
            self.samples.pop_front();
        }
    }

    /// The time since the first sample, filled up with whole samples to all but one of those that make a rate.
    fn span_ms(&self, now_ms: u64) -> u64 {
        let begun_ms = self.samples.front().map_or(now_ms, |sample| sample.begun_ms);
        let elapsed_ms = now_ms.saturating_sub(begun_ms);
        let missing = (SAMPLES as u64 - 1).saturating_sub(elapsed_ms / SAMPLE_MS);
        (elapsed_ms + missing * SAMPLE_MS).max(1)
    }
}

/// Tokens. There may be fewer than none: who has any left may use as many as are needed.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// None while there are as many as there can be.
    left: Option<f64>,
    updated_ms: u64,
    /// When there will be as many as there can be.
    full_at_ms: u64,
}

impl Tokens {
    pub(super) fn take(&mut self, amount: f64, limit: QuotaLimit, now_ms: u64) {
        let left = self.left(limit, now_ms) - amount;
        self.left = Some(left);
        let full_in_ms = (most(limit) - left).max(0.0) / limit.get() * 1000.0;
        self.full_at_ms = now_ms.saturating_add(full_in_ms.ceil() as u64);
    }

    /// Milliseconds until there are none missing.
    pub(super) fn missing_ms(&mut self, limit: QuotaLimit, now_ms: u64) -> f64 {
        let missing = (-self.left(limit, now_ms)).max(0.0);
        missing / limit.get() * 1000.0
    }

    pub(super) fn is_unused(&mut self, limit: QuotaLimit, now_ms: u64) -> bool {
        self.left(limit, now_ms) >= most(limit)
    }

    pub(super) fn is_idle(&self, now_ms: u64) -> bool {
        now_ms >= self.full_at_ms
    }

    fn left(&mut self, limit: QuotaLimit, now_ms: u64) -> f64 {
        let seconds = now_ms.saturating_sub(self.updated_ms) as f64 / 1000.0;
        self.updated_ms = now_ms;
        let left = self.left.map_or(f64::MAX, |left| left + limit.get() * seconds);
        let left = left.min(most(limit));
        self.left = Some(left);
        left
    }
}

fn most(limit: QuotaLimit) -> f64 {
    limit.get() * (WINDOW_MS / 1000) as f64
}
