//! RabbitMQ as Debian's package installs it, one node without plugins. What is not named here is its default.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, bail};

use super::{START_MAX, STOP_POLL, Server};
use crate::amqp;

const EPMD_TRIES: usize = 100;

/// Where its scripts are.
#[derive(Debug, Clone)]
pub(crate) struct RabbitMq {
    pub(crate) sbin: PathBuf,
}

/// It has to be told all of them.
struct Ports {
    amqp: u16,
    distribution: u16,
    /// Of a name server of its own, which ends with it.
    epmd: u16,
}

impl RabbitMq {
    /// Everything it writes is below `root`.
    fn command(&self, root: &Path, ports: &Ports) -> Command {
        let mut command = Command::new(self.sbin.join("rabbitmq-server"));
        command
            .env("HOME", root)
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", ports.epmd.to_string())
            .env("RABBITMQ_NODENAME", "bench@localhost")
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", ports.amqp.to_string())
            .env("RABBITMQ_DIST_PORT", ports.distribution.to_string())
            .env("RABBITMQ_MNESIA_BASE", root.join("data"))
            .env("RABBITMQ_LOG_BASE", root.join("log"))
            .env("RABBITMQ_PID_FILE", root.join("pid"))
            .env("RABBITMQ_CONFIG_FILE", root.join("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", root.join("advanced.config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", root.join("enabled_plugins"))
            .env("RABBITMQ_CONF_ENV_FILE", root.join("rabbitmq-env.conf"))
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1}",
            );
        command
    }
}

impl Server {
    /// In a directory of its own, `root`.
    pub(crate) fn rabbitmq(rabbitmq: &RabbitMq, root: &Path) -> Result<Self> {
        fs::create_dir_all(root)?;
        fs::write(root.join("enabled_plugins"), "[].\n")?;
        let log = root.with_extension("log");
        let log_file = File::create(&log)?;
        let ports = Ports::free()?;
        let mut command = rabbitmq.command(root, &ports);
        command.stdout(log_file.try_clone()?).stderr(log_file);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.amqp));
        let mut server = Self::launch(command, &log, |child| answered(child, address).map(|()| address))?;
        // What was started is a script that waits for the process that matters.
        let pid = fs::read_to_string(root.join("pid")).context("RabbitMQ says which process it is")?;
        server.main = Some(pid.trim().parse()?);
        server.epmd_port = Some(ports.epmd);
        Ok(server)
    }

    /// Ends the name server that RabbitMQ has started beside itself.
    pub(super) fn end_epmd(&mut self) {
        let Some(port) = self.epmd_port.take() else { return };
        for _ in 0..EPMD_TRIES {
            // It refuses as long as it knows the node that has just ended.
            let said = Command::new("epmd")
                .args(["-port", &port.to_string(), "-kill"])
                .output();
            if !said.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains("not allowed")) {
                return;
            }
            thread::sleep(STOP_POLL);
        }
    }
}

impl Ports {
    /// All are held until all are known, so that they differ.
    fn free() -> Result<Self> {
        let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let (amqp, distribution, epmd) = (listen()?, listen()?, listen()?);
        let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
        Ok(Self {
            amqp: port(&amqp)?,
            distribution: port(&distribution)?,
            epmd: port(&epmd)?,
        })
    }
}

fn answered(child: &mut Child, address: SocketAddr) -> Result<()> {
    let began = Instant::now();
    loop {
        let Err(error) = amqp::answers(address) else {
            return Ok(());
        };
        if let Some(status) = child.try_wait()? {
            bail!("the process ended with {status}");
        }
        if began.elapsed() > START_MAX {
            return Err(error.context(format!("no answer within {START_MAX:?}")));
        }
        thread::sleep(STOP_POLL);
    }
}
