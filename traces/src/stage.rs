//! The connections of one scenario, and what comes over them.

use std::collections::{BTreeMap, HashSet};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::content::Content;
use crate::frame::{self, Event};
use crate::inbox::Inbox;
use crate::link::{Arrival, Link, Options, Phase};
use crate::method::Call;
use crate::names::{Names, mask_server};
use crate::script::Place;
use crate::text::{Line, raw_bytes};

/// How long a frame may take that the trace names.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// Something that a scenario declared and that is deleted after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Declared {
    Queue(String),
    Exchange(String),
}

pub(crate) struct Stage {
    address: String,
    vhost: String,
    links: BTreeMap<String, Link>,
    sender: Sender<Arrival>,
    arrivals: Receiver<Arrival>,
    /// Connections made so far: the reader of an earlier one of the same name may still have something to say.
    made: u64,
    options: BTreeMap<String, Options>,
    pub inbox: Inbox,
    names: Names,
    /// Channels whose channel.open the script does not tell.
    opening: HashSet<Place>,
    pub declared: Vec<Declared>,
    /// The script answers channel.close itself.
    pub manual_close: bool,
    pub show_heartbeats: bool,
    /// Where a server hangs up, it may say why before.
    pub may_say_why: bool,
}

impl Stage {
    pub(crate) fn new(address: &str, vhost: &str) -> Stage {
        let (sender, arrivals) = mpsc::channel();
        Stage {
            address: address.to_owned(),
            vhost: vhost.to_owned(),
            links: BTreeMap::new(),
            sender,
            arrivals,
            made: 0,
            options: BTreeMap::new(),
            inbox: Inbox::default(),
            names: Names::default(),
            opening: HashSet::new(),
            declared: Vec::new(),
            manual_close: false,
            show_heartbeats: false,
            may_say_why: false,
        }
    }

    pub(crate) fn set_options(&mut self, connection: &str, text: &str) -> Result<()> {
        let mut options = Options::new(&self.vhost);
        options.read(text)?;
        self.options.insert(connection.to_owned(), options);
        Ok(())
    }

    pub(crate) fn send(&mut self, place: &Place, text: &str, bare: bool) -> Result<()> {
        let text = self.names.reveal(text);
        let mut line = Line::new(&text);
        let word = line.clone().word();
        match word {
            "connect" => return self.open(&place.connection),
            "drop" => {
                self.link(place)?.drop_socket();
                return Ok(());
            }
            "raw" => {
                line.need(word)?;
                let bytes = raw_bytes(&mut line)?;
                self.connected(&place.connection)?.write(&bytes);
                return Ok(());
            }
            _ => {}
        }
        if !bare {
            self.open(&place.connection)?;
        }
        let mut out = Vec::new();
        match word {
            "frame" => {
                line.need(word)?;
                let kind = line.word().parse()?;
                frame::put(kind, place.channel, &raw_bytes(&mut line)?, &mut out)?;
            }
            "header" => {
                line.need(word)?;
                let (class, size) = (line.word().parse()?, line.word().parse()?);
                let mut content = Content::default();
                content.parse_properties(&mut line)?;
                frame::put(
                    frame::HEADER,
                    place.channel,
                    &content.header(class, size)?,
                    &mut out,
                )?;
            }
            "body" => {
                line.need(word)?;
                frame::put(frame::BODY, place.channel, &line.quoted()?, &mut out)?;
            }
            "method" => {
                line.need(word)?;
                self.open_channel(place, bare)?;
                let call = Call::parse(&mut line)?;
                if call.method.name == "basic.publish" {
                    self.inbox.published(place);
                }
                frame::put(frame::METHOD, place.channel, &call.encode()?, &mut out)?;
            }
            _ => self.put_call(place, bare, &mut line, &mut out)?,
        }
        self.link(place)?.write(&out);
        Ok(())
    }

    fn put_call(&mut self, place: &Place, bare: bool, line: &mut Line, out: &mut Vec<u8>) -> Result<()> {
        let call = Call::parse(line)?;
        self.note(&call);
        let name = call.method.name;
        let opens = name == "channel.open" || name.starts_with("connection.");
        self.open_channel(place, bare || opens)?;
        match name {
            "connection.tune-ok" => self.link(place)?.agree(call.number("frame-max")),
            "channel.open" => {
                self.link(place)?.open_channels.insert(place.channel);
            }
            "confirm.select" => self.inbox.confirming(place),
            "basic.publish" => self.inbox.published(place),
            _ => {}
        }
        if !call.method.content {
            return frame::put(frame::METHOD, place.channel, &call.encode()?, out);
        }
        let content = Content::parse(line)?;
        let frame_max = self.link(place)?.frame_max;
        frame::put_message(&call, &content, place.channel, frame_max, out)
    }

    /// Remembers what a call declares.
    fn note(&mut self, call: &Call) {
        let declared = match call.method.name {
            "queue.declare" | "queue.declare-ok" => Declared::Queue(call.string("queue")),
            "exchange.declare" => Declared::Exchange(call.string("exchange")),
            _ => return,
        };
        let (Declared::Queue(name) | Declared::Exchange(name)) = &declared;
        if call.number("passive") == 0 && !name.is_empty() && !self.declared.contains(&declared) {
            self.declared.push(declared);
        }
    }

    /// Opens the connection unless it is open, or the script opens it itself.
    fn open(&mut self, connection: &str) -> Result<()> {
        let usable = |link: &Link| !matches!(link.phase, Phase::Closing | Phase::Ended);
        if !self.links.get(connection).is_some_and(usable) {
            self.links.remove(connection);
            self.connected(connection)?.begin();
            self.wait(|stage| stage.phase(connection) != Some(Phase::Opening))
                .context("a connection opens")?;
        }
        Ok(())
    }

    /// The socket of that name, a new one if there is none.
    fn connected(&mut self, connection: &str) -> Result<&mut Link> {
        if !self.links.contains_key(connection) {
            let options = self.options.get(connection).cloned();
            let options = options.unwrap_or_else(|| Options::new(&self.vhost));
            self.made += 1;
            let id = format!("{connection} {}", self.made);
            let link = Link::connect(&id, &self.address, options, self.sender.clone())?;
            self.links.insert(connection.to_owned(), link);
        }
        self.links.get_mut(connection).context("it was made above")
    }

    fn open_channel(&mut self, place: &Place, bare: bool) -> Result<()> {
        let link = self.link(place)?;
        if bare || place.channel == 0 || link.open_channels.contains(&place.channel) {
            return Ok(());
        }
        link.send(place.channel, "channel.open")?;
        self.opening.insert(place.clone());
        self.wait(|stage| {
            !stage.opening.contains(place) || stage.phase(&place.connection) != Some(Phase::Open)
        })
        .context("a channel opens")
    }

    fn link(&mut self, place: &Place) -> Result<&mut Link> {
        let name = &place.connection;
        self.links
            .get_mut(name)
            .with_context(|| format!("{name} is not connected"))
    }

    fn phase(&self, connection: &str) -> Option<Phase> {
        self.links.get(connection).map(|link| link.phase)
    }

    /// Whether `found` is as good as the `expected` end of the connection.
    pub(crate) fn says_why(&self, expected: &str, found: &str) -> bool {
        self.may_say_why && expected == "eof" && found.starts_with("connection.close ")
    }

    /// Whether nothing more is said to `place`.
    pub(crate) fn is_over(&self, place: &Place) -> bool {
        matches!(
            self.phase(&place.connection),
            None | Some(Phase::Closing | Phase::Ended)
        )
    }

    /// Takes what comes until `done`.
    pub(crate) fn wait(&mut self, done: impl Fn(&Stage) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            if !self.pump(left)? {
                bail!("nothing came in {} s", PATIENCE.as_secs());
            }
        }
        Ok(())
    }

    /// Takes the next frame, if one comes before `patience` is over.
    pub(crate) fn pump(&mut self, patience: Duration) -> Result<bool> {
        let (id, frame) = match self.arrivals.recv_timeout(patience) {
            Ok(arrival) => arrival,
            Err(RecvTimeoutError::Timeout) => return Ok(false),
            Err(RecvTimeoutError::Disconnected) => bail!("the stage holds a sender of its own"),
        };
        let connection = id.split(' ').next().unwrap_or_default().to_owned();
        let Some(link) = self.links.get_mut(&connection).filter(|link| link.id == id) else {
            return Ok(true);
        };
        let Some((channel, event)) = link.assembly.push(frame?, link.frame_max)? else {
            return Ok(true);
        };
        let place = Place { connection, channel };
        match event {
            Event::Call(call, content) => self.take_call(place, call, content)?,
            Event::Heartbeat if self.show_heartbeats => self.inbox.push(place, "heartbeat".to_owned()),
            Event::Heartbeat => {}
            Event::ProtocolHeader(version) => {
                self.inbox.push(place, format!("protocol-header {version:?}"));
            }
            Event::End => {
                let expected = link.phase == Phase::Closing;
                link.phase = Phase::Ended;
                if !expected {
                    self.inbox.push(place, "eof".to_owned());
                }
            }
        }
        Ok(true)
    }

    fn take_call(&mut self, place: Place, mut call: Call, content: Option<Content>) -> Result<()> {
        let manual = self.manual_close;
        let link = self.link(&place)?;
        if link.phase == Phase::Opening && place.channel == 0 {
            if link.answer(&call)? {
                return Ok(());
            }
            link.phase = Phase::Told;
        }
        match call.method.name {
            "channel.open-ok" => {
                link.open_channels.insert(place.channel);
                if self.opening.remove(&place) {
                    return Ok(());
                }
            }
            "channel.close" | "channel.close-ok" => {
                link.open_channels.remove(&place.channel);
                if call.method.name == "channel.close" && !manual {
                    link.send(place.channel, "channel.close-ok")?;
                }
                self.inbox.closed(&place);
            }
            "connection.close" => {
                link.phase = Phase::Closing;
                if !manual {
                    link.send(0, "connection.close-ok")?;
                }
            }
            // Now it is for the client to hang up.
            "connection.close-ok" => link.drop_socket(),
            "basic.ack" | "basic.nack" => {
                let (tag, multiple) = (call.number("delivery-tag"), call.number("multiple") != 0);
                self.inbox.push_confirm(place, call.method.name, tag, multiple);
                return Ok(());
            }
            _ => {}
        }
        self.note(&call);
        mask_server(&mut call);
        let mut text = call.print();
        if let Some(mut content) = content {
            content.sort_deaths();
            text = format!("{text} {}", content.print());
        }
        let text = self
            .names
            .hide(&text.replace(&format!("vhost '{}'", self.vhost), "vhost '/'"));
        self.inbox.push(place, text);
        Ok(())
    }

    /// Ends all connections in order, and waits until the server has ended them too: exclusive queues go with them.
    pub(crate) fn end(&mut self) -> Result<()> {
        for link in self.links.values_mut() {
            match link.phase {
                Phase::Open => link.send(0, "connection.close reply-code=200")?,
                Phase::Closing | Phase::Ended => {}
                Phase::Told | Phase::Opening => link.drop_socket(),
            }
        }
        let deadline = Instant::now() + CLOSE_PATIENCE;
        while self.links.values().any(|link| link.phase != Phase::Ended) {
            if !self.pump(deadline.saturating_duration_since(Instant::now()))? {
                // A server may leave it to the client to hang up.
                self.links.values_mut().for_each(Link::drop_socket);
                return Ok(());
            }
        }
        Ok(())
    }
}
