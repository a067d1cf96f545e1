use std::io;
use std::net::SocketAddr;

use anyhow::{Result, anyhow};
use tokio::net::{TcpListener, TcpSocket};

use crate::settings::Listen;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// Ports that are tried until one is free for IPv4 and IPv6 alike.
const PORT_ATTEMPTS: usize = 16;

/// Binds all addresses of `listen`. With port 0, all of them get the same free port. An address family that this
/// machine does not have is left out, as long as another one is there.
pub(crate) fn bind(name: &str, listen: &Listen) -> Result<Vec<TcpListener>> {
    let Listen::At(addresses) = listen else {
        return Ok(Vec::new());
    };
    let mut attempt = 0;
    loop {
        attempt += 1;
        match bind_all(addresses) {
            Ok(listeners) => return Ok(listeners),
            Err((_, error))
                if error.kind() == io::ErrorKind::AddrInUse
                    && addresses.iter().any(|address| address.port() == 0)
                    && attempt < PORT_ATTEMPTS => {}
            Err((address, error)) => return Err(explain(name, address, &error)),
        }
    }
}

fn bind_all(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, (SocketAddr, io::Error)> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut absent = None;
    let mut picked = 0;
    for address in addresses {
        let mut address = *address;
        if address.port() == 0 {
            address.set_port(picked);
        }
        match bind_one(address) {
            Ok(listener) => {
                picked = listener.local_addr().map_err(|error| (address, error))?.port();
                listeners.push(listener);
            }
            Err(error) if family_is_absent(&error) => absent = Some((address, error)),
            Err(error) => return Err((address, error)),
        }
    }
    match absent {
        Some(absent) if listeners.is_empty() => Err(absent),
        _ => Ok(listeners),
    }
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A broker that is restarted must get its port although connections of the one before it linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn family_is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

fn explain(name: &str, address: SocketAddr, error: &io::Error) -> anyhow::Error {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "another process listens there; stop it, or choose another port",
        io::ErrorKind::PermissionDenied => "ports below 1024 need privileges; choose another one",
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
        _ => "choose another address",
    };
    anyhow!("cannot listen on {address} ({error}): {advice}, with --{name} HOST:PORT or --{name} off")
}
