use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Arg, ArgAction, ArgMatches};
use firth_admin::{Admin, BackupSlot, Health};
use firth_broker::{Broker, Environment};
use firth_kafka::GroupSettings;
use firth_log::file::disk::{Disk, Lock};
use firth_log::{Engine, Options};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tracing_subscriber::EnvFilter;

use crate::environment;
use crate::listen::bind;
use crate::logging;
use crate::settings::{self, Durability, Given, SETTINGS, Setting, Settings, Shares};

mod allocator;
mod banner;

/// The file in the data directory that says who uses it.
pub(crate) const LOCK_FILE: &str = "LOCK";
/// Of BSD's sysexits, "an error occurred while doing I/O".
const EXIT_STORAGE_FAILED: i32 = 74;
/// As of a process that SIGINT ended.
const EXIT_SECOND_SIGNAL: i32 = 130;

/// The flags of the settings, `--config` and `--json`.
pub(crate) struct Args {
    flags: Vec<Given>,
    config: Option<PathBuf>,
    json: bool,
}

impl clap::Args for Args {
    fn augment_args(command: clap::Command) -> clap::Command {
        let config = Arg::new("config").long("config").value_name("FILE");
        let config = config.value_parser(clap::value_parser!(PathBuf));
        let config = config.help("The file with settings [default: firth.toml, if it is there]");
        let json = Arg::new("json").long("json").action(ArgAction::SetTrue);
        let json = json.help("Print the banner as one line of JSON");
        command.args(SETTINGS.iter().map(flag)).arg(config).arg(json)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Args::augment_args(command)
    }
}

impl clap::FromArgMatches for Args {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Args, clap::Error> {
        let given = |setting: &'static Setting| {
            let text = matches.get_one::<String>(setting.key)?.clone();
            Some(Given { setting, text })
        };
        Ok(Args {
            flags: SETTINGS.iter().filter_map(given).collect(),
            config: matches.get_one("config").cloned(),
            json: matches.get_flag("json"),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Args::from_arg_matches(matches)?;
        Ok(())
    }
}

fn flag(setting: &'static Setting) -> Arg {
    let help = format!(
        "{} [default: {}]",
        setting.documentation.replace('`', ""),
        setting.default
    );
    let arg = Arg::new(setting.key)
        .long(setting.flag())
        .help(help)
        .action(ArgAction::Set);
    if setting.is_switch() {
        arg.num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_name("true|false")
    } else {
        arg.value_name(setting.value_name)
    }
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let settings = settings::load(args.config.as_deref(), std::env::vars(), &args.flags)?;
    let filter =
        EnvFilter::try_new(&settings.log).map_err(|error| anyhow!("log is {:?}: {error}", settings.log))?;
    logging::start(filter, settings.log_format);
    refuse_strangers(&settings)?;
    allocator::suit(Shares::of(&settings).total);
    raise_file_limit();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores)
        .thread_name("firth-worker")
        .enable_all()
        .build()
        .context("the system refuses the threads of the runtime")?;
    runtime.block_on(serve(&settings, args.json))
}

/// Only AMQP clients are asked who they are yet, so by other protocols only this machine may connect unless the operator says
/// otherwise.
fn refuse_strangers(settings: &Settings) -> Result<()> {
    for (name, listen) in [("kafka", &settings.kafka), ("http", &settings.http)] {
        if let Some(address) = listen.beyond_loopback()
            && !settings.insecure
        {
            bail!(
                "refusing to listen on {address} (--{name}): there is no authentication yet, so whoever reaches it \
                 may read and write everything; add --insecure if that is meant"
            );
        }
    }
    Ok(())
}

/// Many systems give 1024 descriptors although they allow more, and each connection takes one.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    ) {
        tracing::warn!(%error, "the limit of open files stays at {:?}", limit.current);
    }
}

/// What runs, and must end in this order: listeners, broker, engine, lock.
struct Running {
    listeners: JoinSet<()>,
    stop: watch::Sender<bool>,
    broker: Broker,
    engine: Engine,
    _lock: Lock,
}

async fn serve(settings: &Settings, json: bool) -> Result<ExitCode> {
    let mut signals = Signals::new()?;
    // Of two processes on one directory, which usually want the same ports, the second is told who the first is.
    let (disk, lock) = take_directory(settings)?;
    // A port that is taken is found out before the data is touched. Clients that connect already wait.
    let kafka = bind("kafka", &settings.kafka)?;
    let amqp = bind("amqp", &settings.amqp)?;
    let http = bind("http", &settings.http)?;
    warn_of_durability(settings);
    let failed = Arc::new(Notify::new());
    let health = Health::default();
    let shares = Shares::of(settings);
    let engine = open_engine(settings, shares, disk, &health, &failed)?;
    let broker = open_broker(settings, shares, engine.clone()).await?;

    let addresses = banner::Addresses {
        kafka: addresses(&kafka)?,
        amqp: addresses(&amqp)?,
        http: addresses(&http)?,
    };
    let (stop, stopping) = watch::channel(false);
    let mut listeners = JoinSet::new();
    let server = firth_kafka::Server::open(broker.clone(), kafka_config(settings, shares))
        .context("what is stored of consumer groups cannot be read")?;
    let kafka_side = kafka_side(settings, &server, &addresses.kafka);
    for listener in kafka {
        let (server, stopping) = (server.clone(), stopping.clone());
        listeners.spawn(async move { server.serve(listener, stopping).await });
    }
    let amqp_server = serve_amqp(&mut listeners, &broker, amqp, &stopping);
    let backups = BackupSlot::default();
    for listener in http {
        let admin = Admin {
            broker: broker.clone(),
            engine: engine.clone(),
            health: health.clone(),
            backups: backups.clone(),
            amqp: amqp_server.clone(),
            kafka: kafka_side.clone(),
            durability: settings.durability.of_engine(),
        };
        listeners.spawn(firth_admin::serve(listener, admin, stopping.clone()));
    }
    banner::print(settings, shares, &addresses, json)?;

    let running = Running {
        listeners,
        stop,
        broker,
        engine,
        _lock: lock,
    };
    tokio::select! {
        biased;
        () = failed.notified() => {
            // Nothing may be answered any more, so nothing is drained and nobody waited for.
            std::process::exit(EXIT_STORAGE_FAILED);
        }
        name = signals.next() => tracing::info!("stopping on {name}; a second signal stops at once"),
    }
    tokio::select! {
        () = running.end() => {}
        () = failed.notified() => std::process::exit(EXIT_STORAGE_FAILED),
        _ = signals.next() => std::process::exit(EXIT_SECOND_SIGNAL),
    }
    match health.failure() {
        Some(_) => std::process::exit(EXIT_STORAGE_FAILED),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn warn_of_durability(settings: &Settings) {
    if settings.durability == Durability::Os {
        tracing::warn!(
            "durability is os: what is acknowledged is flushed within a second, and lost if the machine fails before that"
        );
    }
}

fn serve_amqp(
    listeners: &mut JoinSet<()>,
    broker: &Broker,
    amqp: Vec<TcpListener>,
    stopping: &watch::Receiver<bool>,
) -> firth_amqp::Server {
    let amqp_server = firth_amqp::Server::new(broker.clone(), firth_amqp::Config::default());
    for listener in amqp {
        let (server, stopping) = (amqp_server.clone(), stopping.clone());
        listeners.spawn(async move { server.serve(listener, stopping).await });
    }
    amqp_server
}

impl Running {
    async fn end(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.listeners.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a listener did not end well");
            }
        }
        self.broker.shutdown().await;
        let engine = self.engine;
        if let Err(error) = tokio::task::spawn_blocking(move || engine.close()).await {
            tracing::error!(%error, "the engine did not end well");
        }
        tracing::info!("stopped");
    }
}

/// What the HTTP listener tells of the Kafka listeners, if there are any.
fn kafka_side(
    settings: &Settings,
    server: &firth_kafka::Server,
    addresses: &[SocketAddr],
) -> Option<firth_admin::Kafka> {
    let first = addresses.first()?;
    let advertised = settings.advertise.as_ref().map(ToString::to_string);
    Some(firth_admin::Kafka {
        server: server.clone(),
        address: advertised.unwrap_or_else(|| first.to_string()),
    })
}

fn take_directory(settings: &Settings) -> Result<(Disk, Lock)> {
    let path = settings.data.display();
    let disk = Disk::open(&settings.data).with_context(|| {
        format!("cannot open the data directory {path}; choose another one with --data DIR")
    })?;
    let lock = disk.lock(LOCK_FILE).with_context(|| {
        format!("cannot use the data directory {path}; stop the other process, or choose another one with --data DIR")
    })?;
    Ok((disk, lock))
}

fn open_engine(
    settings: &Settings,
    shares: Shares,
    disk: Disk,
    health: &Health,
    failed: &Arc<Notify>,
) -> Result<Engine> {
    let (health, failed) = (health.clone(), failed.clone());
    let on_failure = move |reason: &str| {
        tracing::error!(
            reason,
            "ALARM: the storage failed; nothing more is acknowledged, and the broker exits"
        );
        health.fail(reason);
        failed.notify_one();
    };
    let environment = firth_log::Environment {
        wall_ms: Arc::new(environment::wall_ms),
        random: environment::random()?,
        on_failure: Arc::new(on_failure),
    };
    let options = Options {
        durability: settings.durability.of_engine(),
        direct: settings.direct.0,
        wal_bytes_max: settings.wal_limit.map(|limit| limit.0),
        segment_bytes: shares.segment,
        cache_bytes: shares.tail,
        scrub_interval: settings.scrub_interval.0,
        ..Options::default()
    };
    Engine::open(Arc::new(disk), environment, options)
        .with_context(|| format!("cannot start from the data directory {}", settings.data.display()))
}

async fn open_broker(settings: &Settings, shares: Shares, engine: Engine) -> Result<Broker> {
    let config = firth_broker::Config {
        auto_create_topics: settings.auto_create_topics,
        num_partitions: settings.num_partitions,
        memory_bytes: shares.requests,
        retention_check_interval: Duration::from_millis(settings.retention_check_interval_ms),
    };
    let environment = Environment {
        clock: environment::clock(),
        random: environment::random()?,
    };
    Broker::open(engine, config, environment)
        .await
        .with_context(|| format!("cannot start from the data directory {}", settings.data.display()))
}

fn kafka_config(settings: &Settings, shares: Shares) -> firth_kafka::Config {
    firth_kafka::Config {
        advertise: settings
            .advertise
            .clone()
            .map(|advertise| (advertise.host, advertise.port)),
        frame_bytes_max: shares.frame,
        groups: group_settings(settings, shares),
        ..firth_kafka::Config::default()
    }
}

fn group_settings(settings: &Settings, shares: Shares) -> GroupSettings {
    let to_usize = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    GroupSettings {
        initial_rebalance_delay_ms: settings.group_initial_rebalance_delay_ms,
        session_timeout_ms_min: settings.group_min_session_timeout_ms,
        session_timeout_ms_max: settings.group_max_session_timeout_ms,
        size_max: to_usize(settings.group_max_size),
        offset_metadata_max: to_usize(settings.offset_metadata_max_bytes),
        offsets_retention_ms: i64::from(settings.offsets_retention_minutes) * 60_000,
        offsets_check_interval_ms: settings.offsets_retention_check_interval_ms.into(),
        memory_bytes: shares.groups,
    }
}

fn addresses(listeners: &[TcpListener]) -> Result<Vec<SocketAddr>> {
    Ok(listeners
        .iter()
        .map(TcpListener::local_addr)
        .collect::<Result<_, _>>()?)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
