//! The language of the scripts.

mod admin;
mod groups;
mod print;
mod request;

use std::collections::BTreeMap;

use firth_kafka_codec::*;
use firth_log::file::recorder::{Hold, Image};

use crate::support::{TestBroker, TestClient};
use print::Names;
use request::Words;

/// A request that was sent, and how its answer is read.
#[derive(Clone, Copy)]
struct Sent {
    api: ApiKey,
    version: i16,
}

struct Client {
    client: TestClient,
    sent: Option<Sent>,
}

pub(crate) struct Script {
    broker: TestBroker,
    clients: BTreeMap<String, Client>,
    names: Names,
    hold: Option<Hold>,
}

impl Script {
    pub(crate) async fn new(recorded: bool) -> Script {
        let broker = match recorded {
            true => TestBroker::recorded().await,
            false => TestBroker::memory().await,
        };
        Script {
            broker,
            clients: BTreeMap::new(),
            names: Names::default(),
            hold: None,
        }
    }

    pub(crate) async fn stop(self) {
        drop(self.hold);
        drop(self.clients);
        self.broker.stop().await;
    }

    /// Does what a line says and gives what is to be printed.
    pub(crate) async fn line(&mut self, line: &str) -> Vec<String> {
        eprintln!("{line}");
        let lines = self.do_line(line).await;
        for line in &lines {
            eprintln!("    {line}");
        }
        lines
    }

    async fn do_line(&mut self, line: &str) -> Vec<String> {
        match line {
            "hold" => self.hold = Some(self.broker.hold()),
            "release" => self.hold = None,
            "restart" => self.restart(None).await,
            _ if line.starts_with("pass ") => self.pass(line[5..].parse().unwrap()).await,
            _ if line.starts_with("damage ") => self.restart(line.strip_prefix("damage ")).await,
            _ => return self.client_line(line).await,
        }
        Vec::new()
    }

    /// Lets time pass, and looks at all groups, so that they have done what is due.
    async fn pass(&self, ms: u64) {
        self.broker.pass(ms);
        let mut client = self.broker.connect().await;
        let groups = client.call(5, &ListGroupsRequest::default()).await.groups;
        let request = DescribeGroupsRequest {
            groups: groups.into_iter().map(|group| group.group_id).collect(),
            ..Default::default()
        };
        client.call(6, &request).await;
    }

    /// Restarts from what is on the disk, in which one bit of the `damaged` text is turned wherever it is.
    async fn restart(&mut self, damaged: Option<&str>) {
        self.clients.clear();
        let recorder = self.broker.recorder.clone().unwrap();
        let mut image = recorder.image();
        if let Some(text) = damaged {
            flip(&mut image, text);
        }
        let next = TestBroker::on(firth_log::file::recorder::Recorder::from_image(image)).await;
        std::mem::replace(&mut self.broker, next).stop().await;
    }

    async fn client_line(&mut self, line: &str) -> Vec<String> {
        let (name, mark, rest) = split(line);
        let prefix = if name == "a" {
            String::new()
        } else {
            format!("{name}: ")
        };
        if !self.clients.contains_key(name) {
            let client = self.broker.connect().await;
            self.clients
                .insert(name.to_owned(), Client { client, sent: None });
        }
        self.names.learn(&self.broker.broker);
        let lines = match mark {
            '?' => {
                self.give_a_chance().await;
                let client = &mut self.clients.get_mut(name).unwrap().client;
                vec![if client.has_answer() { "answered" } else { "waits" }.to_owned()]
            }
            '<' => self.receive(name).await,
            '>' => {
                self.send(name, rest).await;
                self.give_a_chance().await;
                Vec::new()
            }
            _ => {
                self.send(name, rest).await;
                self.receive(name).await
            }
        };
        lines.into_iter().map(|line| format!("{prefix}{line}")).collect()
    }

    /// Who answers another client has had the chance to answer this one.
    async fn give_a_chance(&self) {
        let mut other = self.broker.connect().await;
        other.call(0, &ApiVersionsRequest::default()).await;
    }

    async fn send(&mut self, name: &str, line: &str) {
        let words = Words::new(line);
        let (sent, bytes) = {
            let client = &mut self.clients.get_mut(name).unwrap().client;
            if let Some(id) = words.text("client") {
                client.client_id = id.to_owned();
            }
            request::encode(&words, &self.names, client)
        };
        let client = self.clients.get_mut(name).unwrap();
        client.client.write(&bytes).await;
        client.sent = Some(sent);
    }

    async fn receive(&mut self, name: &str) -> Vec<String> {
        let client = self.clients.get_mut(name).unwrap();
        let Sent { api, version } = client.sent.take().expect("something was sent");
        let Some(frame) = client.client.frame().await else {
            self.clients.remove(name);
            return vec!["closed".to_owned()];
        };
        self.names.learn(&self.broker.broker);
        let mut lines = print::response(api, version, &frame, &mut self.names);
        lines.extend(print::throttled(api, version, &frame));
        lines
    }
}

fn flip(image: &mut Image, text: &str) {
    let paths: Vec<_> = image.files().map(str::to_owned).collect();
    let mut flipped = 0;
    for path in paths {
        let bytes = image.read(&path).unwrap();
        for (at, _) in bytes
            .windows(text.len())
            .enumerate()
            .filter(|(_, window)| *window == text.as_bytes())
        {
            image.flip(&path, at as u64, 0);
            flipped += 1;
        }
    }
    assert!(flipped > 0, "{text} is on the disk");
}

/// The client, `>`, `<`, `?` or `:`, and the request.
fn split(line: &str) -> (&str, char, &str) {
    let mut chars = line.chars();
    let (first, second) = (chars.next().unwrap(), chars.next().unwrap_or(' '));
    if first.is_ascii_lowercase() && matches!(second, ':' | '<' | '>' | '?') {
        return (&line[..1], second, line[2..].trim());
    }
    ("a", ':', line)
}
