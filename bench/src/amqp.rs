//! `bench amqp`: messages through any server of AMQP 0-9-1, with the project's own codec and no runtime.
//!
//! Every message is confirmed by itself, and its body says when, by whom and as which it was sent: what comes is checked for its
//! size and its order, and at the end all that was published must have come. Publishers and consumers share one thread, so that
//! a figure has the driver's own cost in it only where that exceeds what is left of the machine.

mod consumer;
mod link;
mod message;
mod publisher;
mod session;
mod topology;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

pub(crate) use self::{
    consumer::Acks,
    link::Login,
    session::Until,
    topology::{QueueType, Queues},
};
use self::{consumer::Consumer, link::Link, message::Template, publisher::Publisher, session::Session};
use crate::{
    process::{Disks, Memory, Usage},
    report::{Report, ServerUsage},
};

#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) server: SocketAddr,
    pub(crate) pid: Option<u32>,
    pub(crate) login: Login,
    pub(crate) queues: Queues,
    pub(crate) publishers: usize,
    /// Connections; each consumes every so many-th queue.
    pub(crate) consumers: usize,
    pub(crate) message_bytes: usize,
    pub(crate) persistent: bool,
    /// Messages that each publisher may have unconfirmed.
    pub(crate) window: usize,
    pub(crate) prefetch: u16,
    pub(crate) acks: Acks,
    /// Messages a second of all publishers.
    pub(crate) rate: Option<f64>,
    pub(crate) warmup: Duration,
    pub(crate) until: Until,
}

impl Load {
    fn settings(&self, report: &mut Report) {
        let acks = match self.acks {
            Acks::Automatic => "automatic".to_owned(),
            Acks::Every(1) => "each by itself".to_owned(),
            Acks::Every(every) => format!("every {every} at once"),
            Acks::OneIn(one_in) => format!("one in {one_in}"),
        };
        let kind = match self.queues.kind {
            QueueType::Classic => "classic",
            QueueType::Quorum => "quorum",
        };
        report
            .put("queue_type", kind)
            .put("durable", self.queues.durable)
            .put("persistent", self.persistent)
            .put("queues", self.queues.count)
            .put("fan_out", self.queues.fan_out)
            .put("publishers", self.publishers)
            .put("consumers", self.consumers)
            .put("message_bytes", self.message_bytes)
            .put("window", self.window)
            .put("prefetch", self.prefetch)
            .put("acks", acks);
    }

    fn publishers(&self) -> Result<Vec<Publisher>> {
        let names = self.queues.names();
        let routes = self.queues.routes(&names);
        let publisher = |index: usize| {
            let mut link = Link::open(self.server, &self.login)?;
            link.select_confirms()?;
            // With fewer queues than publishers, several share one.
            let own = routes.iter().skip(index % routes.len()).step_by(self.publishers);
            let template = |(exchange, key): &(&str, &str)| {
                Template::new(exchange, key, self.message_bytes, self.persistent, link.frame_max)
            };
            let templates = own.map(template).collect::<Result<_>>()?;
            Ok(Publisher::new(link, index as u32, templates, self.window))
        };
        (0..self.publishers).map(publisher).collect()
    }

    fn consumers(&self, acks: Acks, prefetch: u16) -> Result<Vec<Consumer>> {
        let names = self.queues.names();
        let consumer = |index: usize| {
            let own: Vec<String> = names
                .iter()
                .skip(index % names.len())
                .step_by(self.consumers)
                .cloned()
                .collect();
            let link = Link::open(self.server, &self.login)?;
            Consumer::new(link, &own, acks, prefetch, self.message_bytes, self.publishers)
        };
        (0..self.consumers).map(consumer).collect()
    }

    fn session(&self, publishers: Vec<Publisher>, consumers: Vec<Consumer>) -> Result<Session> {
        Session::new(publishers, consumers, self.queues.copies())
    }
}

/// Whether a server lets a guest in.
pub(crate) fn answers(server: SocketAddr) -> Result<()> {
    Link::open(server, &Login::guest())?.close()
}

/// Publishes and, with consumers, consumes at the same time.
pub(crate) fn run(load: &Load) -> Result<Report> {
    ensure!(load.publishers > 0, "nobody publishes");
    let mut report = Report::default();
    load.settings(&mut report);
    let declaring = Instant::now();
    load.queues.declare(load.server, &load.login)?;
    report.figure("declare_s", declaring.elapsed().as_secs_f64());
    let mut consumers = load.consumers(load.acks, load.prefetch)?;
    consumers.iter_mut().try_for_each(Consumer::wait_until_known)?;
    let mut session = load.session(load.publishers()?, consumers)?;
    session.publish(Until::Elapsed(load.warmup), load.rate)?;
    if load.rate.is_some() {
        session.drain()?;
    }
    session.reset();
    let gauge = Gauge::begin(load.pid)?;
    session.publish(load.until, load.rate)?;
    let published_s = gauge.began.elapsed().as_secs_f64();
    // At full speed, what is still under way belongs to no second of the measurement.
    let counts = session.counts;
    if load.rate.is_some() || matches!(load.until, Until::Published(_)) {
        session.drain()?;
    }
    let counts = if load.rate.is_some() {
        session.counts
    } else {
        counts
    };
    report
        .put("published", counts.published)
        .figure("confirmed_per_s", counts.confirmed as f64 / published_s)
        .figure("delivered_per_s", counts.delivered as f64 / published_s);
    if load.rate.is_some() {
        report.put("late", counts.late);
    }
    report.percentiles("confirm", &session.to_confirm);
    if load.consumers > 0 {
        report.percentiles("consume", &session.to_consume);
    }
    gauge.end(&mut report, counts.published, load.message_bytes)?;
    session.drain()?;
    session.close()?;
    load.queues.delete(load.server, &load.login)?;
    Ok(report)
}

/// Publishes all of it, and then consumes all of it.
pub(crate) fn backlog(load: &Load, count: u64) -> Result<Report> {
    let mut report = Report::default();
    load.settings(&mut report);
    load.queues.declare(load.server, &load.login)?;
    let mut session = load.session(load.publishers()?, Vec::new())?;
    let gauge = Gauge::begin(load.pid)?;
    session.publish(Until::Published(count), load.rate)?;
    session.drain()?;
    report.put("messages", count);
    report.figure("fill_per_s", count as f64 / gauge.began.elapsed().as_secs_f64());
    gauge.end(&mut report, count, load.message_bytes)?;
    session.close()?;
    let copies = count * load.queues.copies();
    if let Acks::OneIn(one_in) = load.acks {
        punch(load, copies, one_in, &mut report)?;
    }
    let left = match load.acks {
        Acks::OneIn(one_in) => copies - copies / u64::from(one_in),
        _ => copies,
    };
    let acks = match load.acks {
        Acks::OneIn(_) => Acks::Every(1),
        acks => acks,
    };
    let gauge = Gauge::begin(load.pid)?;
    let mut session = load.session(Vec::new(), load.consumers(acks, load.prefetch)?)?;
    session.consume(left)?;
    report.figure("drain_per_s", left as f64 / gauge.began.elapsed().as_secs_f64());
    if let Some(server) = gauge.server()? {
        report.figure(
            "drain_cpu_s_per_million",
            server.usage.cpu_s() / left as f64 * 1e6,
        );
        report.figure(
            "drain_rss_peak_mb",
            server.memory.resident_peak_bytes as f64 / 1e6,
        );
    }
    session.close()?;
    load.queues.delete(load.server, &load.login)?;
    Ok(report)
}

/// Takes all of a backlog without limit, acknowledges one in so many and gives the others back.
fn punch(load: &Load, count: u64, one_in: u32, report: &mut Report) -> Result<()> {
    ensure!(
        load.consumers == 1 && load.queues.count == 1,
        "holes are made by one consumer of one queue"
    );
    let mut session = load.session(Vec::new(), load.consumers(Acks::OneIn(one_in), 0)?)?;
    session.consume(count)?;
    if let Some(pid) = load.pid {
        report.figure("delivered_rss_mb", Memory::of(pid)?.resident_bytes as f64 / 1e6);
    }
    session.close()?;
    let left = count - count / u64::from(one_in);
    let began = Instant::now();
    loop {
        let ready = load.queues.ready(load.server, &load.login)?;
        if ready == left {
            break;
        }
        ensure!(
            began.elapsed() < Duration::from_secs(120),
            "{ready} of {left} messages came back"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    if let Some(pid) = load.pid {
        report.figure("returned_rss_mb", Memory::of(pid)?.resident_bytes as f64 / 1e6);
    }
    Ok(())
}

/// What server and disks use from here on.
struct Gauge {
    began: Instant,
    pid: Option<u32>,
    before: Option<Usage>,
    driver: Usage,
    disks: Disks,
}

impl Gauge {
    fn begin(pid: Option<u32>) -> Result<Self> {
        Ok(Self {
            pid,
            before: pid.map(Usage::of).transpose()?,
            driver: Usage::own()?,
            disks: Disks::read()?,
            began: Instant::now(),
        })
    }

    fn server(&self) -> Result<Option<ServerUsage>> {
        let (Some(pid), Some(before)) = (self.pid, self.before) else {
            return Ok(None);
        };
        let (usage, memory) = (Usage::of(pid)?.since(before), Memory::of(pid)?);
        Ok(Some(ServerUsage { usage, memory }))
    }

    fn end(&self, report: &mut Report, messages: u64, message_bytes: usize) -> Result<()> {
        let seconds = self.began.elapsed().as_secs_f64();
        let driver = Usage::own()?.since(self.driver);
        report.figure(
            "driver_cpu_us_per_message",
            driver.cpu_s() * 1e6 / messages.max(1) as f64,
        );
        if let Some(server) = self.server()? {
            report.server(&server, messages, messages * message_bytes as u64);
        }
        report.disks(&Disks::read()?.since(self.disks), seconds);
        Ok(())
    }
}
