//! The client side of the Kafka protocol, for our own commands: one connection, one request at a time.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use bytes::{Buf, BytesMut};
use firth_kafka_codec::{
    ApiKey, ApiVersionsRequest, ByteStr, ErrorCode, Frame, MetadataRequest, MetadataRequestTopic,
    MetadataResponse, MetadataResponseTopic, RequestMessage, SERVED, decode_response, encode_request,
    split_frame,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::nearest::similar;
use crate::target::{Origin, Target, with_port};

const CLIENT_ID: &str = "firth-cli";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than any answer is held back on purpose.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
pub(crate) const FRAME_BYTES_MAX: usize = 100 * 1024 * 1024;

/// The connection is gone, or never was: the one failure after which another try may help.
#[derive(Debug)]
pub(crate) struct Disconnected(String);

impl fmt::Display for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Disconnected {}

pub(crate) struct Client {
    server: String,
    stream: TcpStream,
    received: BytesMut,
    buffer: BytesMut,
    correlation_id: i32,
    /// The versions that the broker has, by API key.
    versions: HashMap<i16, (i16, i16)>,
}

impl Client {
    /// The first of a target's addresses that takes a connection and answers.
    pub(crate) async fn connect(target: &Target) -> Result<Client> {
        let mut failure = None;
        for address in target.address.split(',') {
            match Client::open(&with_port(address)?).await {
                Ok(client) => return Ok(client),
                Err(error) => failure = Some(error),
            }
        }
        let failure = failure.context("no server is named")?;
        match (&target.origin, failure.downcast_ref::<Disconnected>()) {
            (Origin::Flag, _) | (_, None) => Err(failure),
            (origin, Some(Disconnected(problem))) => {
                let address = &target.address;
                Err(Disconnected(format!("{problem} ({address} is from {origin})")).into())
            }
        }
    }

    async fn open(server: &str) -> Result<Client> {
        let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(server));
        let problem = match connecting.await {
            Ok(Ok(stream)) => return Client::greet(server, stream).await,
            Ok(Err(error)) => {
                format!("cannot connect to {server} ({error}): is `firth serve` running there?")
            }
            Err(_) => format!(
                "cannot connect to {server} within {} s",
                CONNECT_TIMEOUT.as_secs()
            ),
        };
        Err(Disconnected(problem).into())
    }

    /// Asks which versions the broker has.
    async fn greet(server: &str, stream: TcpStream) -> Result<Client> {
        stream.set_nodelay(true)?;
        let mut client = Client {
            server: server.to_owned(),
            stream,
            received: BytesMut::new(),
            buffer: BytesMut::new(),
            correlation_id: 0,
            versions: HashMap::new(),
        };
        let answer = client.call_version(0, &ApiVersionsRequest::default()).await?;
        let versions = answer
            .api_keys
            .iter()
            .map(|api| (api.api_key, (api.min_version, api.max_version)));
        client.versions = versions.collect();
        Ok(client)
    }

    /// Sends a request in the highest version that both sides have, and waits for the answer.
    pub(crate) async fn call<R: RequestMessage>(&mut self, request: &R) -> Result<R::Response> {
        let version = self.version(R::API_KEY)?;
        self.call_version(version, request).await
    }

    pub(crate) fn version(&self, api_key: ApiKey) -> Result<i16> {
        let ours = SERVED.iter().find(|served| served.api_key == api_key);
        let theirs = self.versions.get(&api_key.as_i16());
        match (ours, theirs) {
            (Some(ours), Some((min, max))) if ours.version_max.min(*max) >= ours.version_min.max(*min) => {
                Ok(ours.version_max.min(*max))
            }
            _ => bail!(
                "{} does not serve {api_key:?} in a version that this firth knows",
                self.server
            ),
        }
    }

    /// The connection, for those who keep more than one request in flight.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    pub(crate) async fn call_version<R: RequestMessage>(
        &mut self,
        version: i16,
        request: &R,
    ) -> Result<R::Response> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let mut frame = encode_request(
            &mut self.buffer,
            version,
            self.correlation_id,
            Some(CLIENT_ID),
            request,
        )?;
        let exchange = async {
            while frame.has_remaining() {
                self.stream.write_buf(&mut frame).await?;
            }
            loop {
                if let Frame::Whole(frame) = split_frame(&mut self.received, FRAME_BYTES_MAX)? {
                    return anyhow::Ok(frame);
                }
                if self.stream.read_buf(&mut self.received).await? == 0 {
                    bail!("the connection was closed");
                }
            }
        };
        let api_key = R::API_KEY;
        let frame = timeout(ANSWER_TIMEOUT, exchange)
            .await
            .map_err(|_| anyhow!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))
            .flatten()
            .map_err(|error| Disconnected(format!("{api_key:?} to {} failed: {error:#}", self.server)))?;
        let (correlation_id, response) = decode_response::<R>(version, &frame)
            .with_context(|| format!("the answer of {} to {api_key:?} cannot be read", self.server))?;
        if correlation_id != self.correlation_id {
            bail!(
                "{} answered request {correlation_id} instead of {}",
                self.server,
                self.correlation_id
            );
        }
        Ok(response)
    }

    /// What the broker says about these topics, or about all. No topic is created.
    pub(crate) async fn metadata(&mut self, names: Option<&[&str]>) -> Result<MetadataResponse> {
        let named = |name: &&str| MetadataRequestTopic {
            name: Some(ByteStr::from(*name)),
            ..Default::default()
        };
        let request = MetadataRequest {
            topics: names.map(|names| names.iter().map(named).collect()),
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        self.call(&request).await
    }

    /// One topic that exists.
    pub(crate) async fn topic(&mut self, name: &str) -> Result<MetadataResponseTopic> {
        let metadata = self.metadata(Some(&[name])).await?;
        let topic = metadata
            .topics
            .into_iter()
            .next()
            .context("the broker named no topic")?;
        self.check_topic(topic.error_code, None, name).await?;
        Ok(topic)
    }

    /// Turns an error code about a topic into an error for people, which names the topic that may have been meant.
    pub(crate) async fn check_topic(
        &mut self,
        code: ErrorCode,
        message: Option<&ByteStr>,
        name: &str,
    ) -> Result<()> {
        let context = || format!("topic {name}");
        if code != ErrorCode::UnknownTopicOrPartition {
            return check(code, message).with_context(context);
        }
        // What the broker does not tell now is only a hint that is missing.
        let topics = self.metadata(None).await.map(|metadata| metadata.topics);
        let names = topics
            .unwrap_or_default()
            .into_iter()
            .filter_map(|topic| topic.name);
        match similar(name, names.map(|name| name.to_string())) {
            Some(similar) => Err(anyhow!(
                "this topic does not exist ({}): did you mean {similar}?",
                code.name()
            ))
            .with_context(context),
            None => check(code, None).with_context(context),
        }
    }
}

/// Turns an error code into an error for people.
pub(crate) fn check(code: ErrorCode, message: Option<&ByteStr>) -> Result<()> {
    match (code, message) {
        (ErrorCode::None, _) => Ok(()),
        (code, Some(message)) if !message.is_empty() => bail!("{message} ({})", code.name()),
        (ErrorCode::UnknownTopicOrPartition, _) => {
            bail!("this topic does not exist (UNKNOWN_TOPIC_OR_PARTITION); `firth topic create` creates one")
        }
        (code, _) => bail!("the broker refused ({})", code.name()),
    }
}
