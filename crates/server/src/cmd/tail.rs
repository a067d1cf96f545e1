mod backlog;
mod followed;

use std::io::{IsTerminal, Write, stdout};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use firth_kafka_codec::ErrorCode;

use self::followed::Followed;
use crate::client::{Client, Disconnected, check};
use crate::duration::duration;
use crate::environment::since_boot;
use crate::pattern::Pattern;
use crate::records::format::{self, Format};
use crate::records::layout::Layout;
use crate::records::reading::{explain_out_of_range, fetch, visit};
use crate::records::start::{Start, start};
use crate::records::{Placed, Shape};
use crate::target::{Server, Target};

/// How often topics and partitions that are new are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Between two tries to connect again.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
#[command(after_long_help = format::HELP)]
pub(crate) struct Args {
    /// Topics; * stands for any characters and ? for one, and topics that are created later are followed too
    #[arg(required = true, value_name = "TOPIC", value_parser = |text: &str| anyhow::Ok(Pattern::new(text)))]
    topics: Vec<Pattern>,
    /// The last N records of all topics together, before those that come
    #[arg(short = 'n', long, value_name = "N", conflicts_with_all = ["since", "from"],
        value_parser = clap::value_parser!(u32).range(..=100_000))]
    last: Option<u32>,
    /// From so long ago, as 10m or 1h30m
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "from")]
    since: Option<Duration>,
    /// beginning, end, an offset, -N for the last N of each partition, or @TIME: milliseconds since 1970, or UTC
    #[arg(long, value_name = "WHERE", default_value = "end", value_parser = start, allow_hyphen_values = true)]
    from: Start,
    /// Stop after so many records
    #[arg(short, long, value_name = "N")]
    count: Option<u64>,
    /// Print each record so, as in '%t/%p@%o %k: %v\n'; --help says more
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, conflicts_with = "json")]
    format: Option<Format>,
    /// Print one JSON object for each record
    #[arg(long)]
    json: bool,
    /// Whether lines are coloured; auto colours them on a terminal unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Color,
    #[command(flatten)]
    server: Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    super::block_on(async {
        tokio::select! {
            followed = follow(&args) => followed,
            // Nothing else ends it.
            stopped = super::stopped() => stopped,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn follow(args: &Args) -> Result<()> {
    let target = args.server.target()?;
    let mut client = Client::connect(&target).await?;
    let mut out = Output {
        shape: shape(args),
        left: args.count.unwrap_or(u64::MAX),
        bytes: Vec::new(),
    };
    let mut followed = Followed::begin(&mut client, &args.topics, first(args)).await?;
    if let Some(last) = args.last {
        let last = usize::try_from(last).unwrap_or(usize::MAX);
        backlog::print(&mut client, &mut followed.positions, last, &mut out).await?;
    }
    loop {
        match read(&mut client, &mut followed, &mut out).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is::<Disconnected>() => {
                eprintln!("firth: {error}; trying again");
                client = reconnect(&target).await?;
                eprintln!("firth: connected again");
                followed.must_look = true;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Where topics that there are at the start are read from.
fn first(args: &Args) -> Start {
    match (args.last, args.since) {
        (Some(last), _) => Start::Last(last.into()),
        (None, Some(since)) => super::consume::since(since),
        (None, None) => args.from,
    }
}

fn shape(args: &Args) -> Shape {
    if let Some(format) = &args.format {
        return Shape::Format(format.clone());
    }
    if args.json {
        return Shape::Json;
    }
    let is_coloured = match args.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            stdout().is_terminal() && !refused
        }
    };
    Shape::Layout(Layout { is_coloured })
}

/// Until the broker is there again, however long that takes.
async fn reconnect(target: &Target) -> Result<Client> {
    let mut wait = RETRY_MIN;
    loop {
        match Client::connect(target).await {
            Ok(client) => return Ok(client),
            Err(error) if error.is::<Disconnected>() => {}
            Err(error) => return Err(error),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
}

/// Prints what comes, until there is nothing more to print.
async fn read(client: &mut Client, followed: &mut Followed, out: &mut Output) -> Result<()> {
    while out.left > 0 {
        let now = since_boot();
        if followed.must_look || now.saturating_sub(followed.looked) >= LOOK_EVERY {
            followed.look(client).await?;
            followed.looked = now;
        }
        if followed.positions.is_empty() {
            // Topics may be created that a pattern stands for.
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        }
        for (place, data) in fetch(client, &followed.positions).await? {
            let position = &mut followed.positions[place];
            match data.error_code {
                ErrorCode::OffsetOutOfRange => {
                    let problem = explain_out_of_range(client, position).await?;
                    followed.skip(client, place, &problem).await?;
                }
                ErrorCode::UnknownTopicOrPartition
                | ErrorCode::UnknownTopicId
                | ErrorCode::InconsistentTopicId => followed.must_look = true,
                code => {
                    let place = || format!("partition {} of {}", position.partition, position.topic);
                    check(code, None).with_context(place)?;
                    out.print(&data, position)?;
                }
            }
        }
        followed.positions.rotate_left(1);
    }
    Ok(())
}

struct Output {
    shape: Shape,
    /// Records that may still be printed.
    left: u64,
    bytes: Vec<u8>,
}

impl Output {
    fn print(
        &mut self,
        data: &firth_kafka_codec::PartitionData,
        position: &mut crate::records::reading::Position,
    ) -> Result<()> {
        let (topic, partition) = (position.topic.clone(), position.partition);
        visit(data, position, |record| {
            if self.left == 0 {
                return ControlFlow::Break(());
            }
            self.left -= 1;
            let placed = Placed {
                topic: &topic,
                partition,
                record,
            };
            self.shape.print(placed, &mut self.bytes);
            ControlFlow::Continue(())
        })?;
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        let mut out = stdout().lock();
        out.write_all(&self.bytes)?;
        self.bytes.clear();
        Ok(out.flush()?)
    }
}
