//! What a request takes of its client's quotas, and for how long the client is made to wait: it is told so at once, and its
//! connection takes no more requests until then (KIP-219).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use firth_broker::{QuotaKey, QuotaSubject};
use firth_kafka_codec::{ByteStr, ErrorCode, RequestHeader, ResponseMessage};

use super::{Refused, Started, refused};
use crate::closed::Closed;
use crate::connection::{Reply, Running};
use crate::server::Client;

/// The user of every client, since none is authenticated.
const ANONYMOUS: &str = "ANONYMOUS";

fn subject(client_id: Option<&ByteStr>) -> QuotaSubject<'_> {
    QuotaSubject::Client {
        user: ANONYMOUS,
        client_id: client_id.map_or("", ByteStr::as_str),
    }
}

pub(super) fn ms(wait: Duration) -> i32 {
    i32::try_from(wait.as_millis()).unwrap_or(i32::MAX)
}

/// The longest of some waits. That one is counted.
fn longest<const N: usize>(client: &Client, waits: [(QuotaKey, Duration); N]) -> Duration {
    let longest = waits.into_iter().max_by_key(|(_, wait)| *wait);
    let Some((key, wait)) = longest.filter(|(_, wait)| !wait.is_zero()) else {
        return Duration::ZERO;
    };
    client.server.broker.quotas().throttled(key, wait);
    wait
}

/// The wait for the time that was worked for a client so far.
fn of_time(client: &Client, header: &RequestHeader) -> Duration {
    record(client, header, QuotaKey::RequestPercentage, 0.0)
}

fn record(client: &Client, header: &RequestHeader, key: QuotaKey, amount: f64) -> Duration {
    let broker = &client.server.broker;
    match broker.quotas().has(key) {
        true => {
            let now = broker.clock().monotonic();
            broker
                .quotas()
                .record(key, subject(header.client_id.as_ref()), amount, now)
        }
        false => Duration::ZERO,
    }
}

/// Who wants no answer is not made to wait for the time that its requests take.
pub(super) fn of_produce(
    client: &Client,
    header: &RequestHeader,
    bytes: usize,
    is_answered: bool,
) -> Duration {
    if client.server.broker.quotas().is_empty() {
        return Duration::ZERO;
    }
    let by_bytes = record(client, header, QuotaKey::ProducerByteRate, bytes as f64);
    let by_time = match is_answered {
        true => of_time(client, header),
        false => Duration::ZERO,
    };
    longest(
        client,
        [
            (QuotaKey::ProducerByteRate, by_bytes),
            (QuotaKey::RequestPercentage, by_time),
        ],
    )
}

/// The most that an answer may have without a wait that is certain.
pub(super) fn fetch_bytes_max(client: &Client, header: &RequestHeader) -> usize {
    let subject = subject(header.client_id.as_ref());
    let quotas = client.server.broker.quotas();
    let burst = quotas.burst_max(QuotaKey::ConsumerByteRate, subject);
    burst.map_or(usize::MAX, |bytes| bytes as usize)
}

/// The wait of a consumer, and whether it gets nothing meanwhile. Then the bytes of its answer are not counted.
///
/// Apache Kafka never sends an answer that is too large for the limit. Here it is sent to a consumer that was sent nothing for
/// long enough, or it would never get past a batch that is larger than ten seconds of its limit.
pub(super) fn of_fetch(
    client: &Client,
    header: &RequestHeader,
    bytes: impl FnOnce() -> usize,
) -> (Duration, bool) {
    let broker = &client.server.broker;
    let key = QuotaKey::ConsumerByteRate;
    let by_time = of_time(client, header);
    let offered = if by_time.is_zero() && broker.quotas().has(key) {
        let (subject, amount) = (subject(header.client_id.as_ref()), bytes() as f64);
        broker
            .quotas()
            .offer(key, subject, amount, broker.clock().monotonic())
    } else {
        Ok(Duration::ZERO)
    };
    let (by_bytes, is_refused) = match offered {
        Ok(wait) => (wait, false),
        Err(wait) => (wait, true),
    };
    let waits = [(key, by_bytes), (QuotaKey::RequestPercentage, by_time)];
    (longest(client, waits), is_refused || !by_time.is_zero())
}

/// Any other answer. What it says already is a wait for mutations.
pub(super) fn of_answer<R: ResponseMessage>(
    client: &Client,
    header: &RequestHeader,
    response: &mut R,
) -> Duration {
    if client.server.broker.quotas().is_empty() {
        return Duration::ZERO;
    }
    let throttle_time_ms = response.throttle_time_ms();
    let by_mutations = Duration::from_millis(u64::try_from(*throttle_time_ms).unwrap_or(0));
    let waits = [
        (QuotaKey::ControllerMutationRate, by_mutations),
        (QuotaKey::RequestPercentage, of_time(client, header)),
    ];
    let wait = longest(client, waits);
    *throttle_time_ms = ms(wait);
    wait
}

/// The quota of the partitions that one request creates or deletes (KIP-599).
pub(super) struct Mutations {
    client: Client,
    header: RequestHeader,
    /// Whether what is too much is refused, or done and waited for.
    is_strict: bool,
    /// Partitions that were taken and not given back.
    taken: usize,
    is_refused: bool,
    wait: Duration,
    since: Duration,
}

impl Mutations {
    /// It is strict for clients that know the error, those of version `strict_min` and above.
    pub(super) fn new(client: &Client, header: &RequestHeader, strict_min: i16) -> Mutations {
        Mutations {
            client: client.clone(),
            header: header.clone(),
            is_strict: header.api_version >= strict_min,
            taken: 0,
            is_refused: false,
            wait: Duration::ZERO,
            since: Duration::ZERO,
        }
    }

    pub(super) fn take(&mut self, partitions: usize) -> Result<(), Refused> {
        let broker = &self.client.server.broker;
        let key = QuotaKey::ControllerMutationRate;
        if !broker.quotas().has(key) {
            return Ok(());
        }
        let (subject, amount) = (subject(self.header.client_id.as_ref()), partitions as f64);
        let now = broker.clock().monotonic();
        let taken = if self.is_strict {
            broker.quotas().take(key, subject, amount, now)
        } else {
            match broker.quotas().record(key, subject, amount, now) {
                Duration::ZERO => Ok(()),
                wait => Err(wait),
            }
        };
        if let Err(wait) = taken {
            (self.wait, self.since) = (wait, now);
            if self.is_strict {
                self.is_refused = true;
                return Err(refused(ErrorCode::ThrottlingQuotaExceeded, &EXCEEDED));
            }
        }
        self.taken = self.taken.saturating_add(partitions);
        Ok(())
    }

    /// What was taken and not done after all.
    pub(super) fn give_back(&mut self, partitions: usize) {
        self.taken = self.taken.saturating_sub(partitions);
        let broker = &self.client.server.broker;
        let subject = subject(self.header.client_id.as_ref());
        let (amount, now) = (-(partitions as f64), broker.clock().monotonic());
        broker
            .quotas()
            .add(QuotaKey::ControllerMutationRate, subject, amount, now);
    }

    /// What is left of the wait, now that the request was worked on.
    pub(super) fn throttle_time_ms(&self) -> i32 {
        if self.taken == 0 && !self.is_refused {
            return 0;
        }
        let elapsed = self
            .client
            .server
            .broker
            .clock()
            .monotonic()
            .saturating_sub(self.since);
        ms(self.wait.saturating_sub(elapsed))
    }
}

/// Apache Kafka's own words.
const EXCEEDED: &str = "The throttling quota has been exceeded.";

/// Measures how long a client's request is worked on.
pub(super) struct Work {
    client: Client,
    client_id: Option<ByteStr>,
}

impl Work {
    /// None while nobody has a quota of it.
    pub(super) fn of(client: &Client, header: &RequestHeader) -> Option<Work> {
        let quotas = client.server.broker.quotas();
        quotas.has(QuotaKey::RequestPercentage).then(|| Work {
            client: client.clone(),
            client_id: header.client_id.clone(),
        })
    }

    /// Works on a request, and measures that and what is left to do.
    pub(super) fn measure(self, start: impl FnOnce() -> Result<Started, Closed>) -> Result<Started, Closed> {
        Ok(match self.time(start)? {
            Started::Running(running) => Started::Running(Box::pin(Measured { work: self, running })),
            parked @ Started::Parked(_) => parked,
        })
    }

    fn time<R>(&self, work: impl FnOnce() -> R) -> R {
        let broker = &self.client.server.broker;
        let begun = broker.clock().monotonic();
        let result = work();
        let now = broker.clock().monotonic();
        let percent = now.saturating_sub(begun).as_secs_f64() * 100.0;
        let subject = subject(self.client_id.as_ref());
        broker
            .quotas()
            .add(QuotaKey::RequestPercentage, subject, percent, now);
        result
    }
}

struct Measured {
    work: Work,
    running: Running,
}

impl Future for Measured {
    type Output = Result<Reply, Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Measured { work, running } = &mut *self;
        work.time(|| running.as_mut().poll(cx))
    }
}
