use std::net::{IpAddr, Ipv6Addr};

/// Where a client comes from, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    address: IpAddr,
    is_loopback: bool,
}

impl Origin {
    /// The peer of a socket.
    pub fn of_socket(address: IpAddr) -> Origin {
        let address = address.to_canonical();
        Origin {
            address,
            is_loopback: address.is_loopback(),
        }
    }

    /// Somebody in front of the broker says that the client has this address. That never makes it a local one.
    pub fn of_proxy(address: IpAddr) -> Origin {
        Origin {
            address: address.to_canonical(),
            is_loopback: false,
        }
    }

    /// True loopback: `127.0.0.0/8` and `::1`, and the former as IPv6 has it.
    pub fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    /// What failures are counted for. One host has a whole /64 of IPv6 to try from.
    pub(crate) fn counted(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(_) => self.address,
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn loopback_is_what_the_socket_says_and_never_what_a_proxy_says() {
        for local in ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"] {
            assert!(Origin::of_socket(address(local)).is_loopback(), "{local}");
            assert!(!Origin::of_proxy(address(local)).is_loopback(), "{local}");
        }
        for remote in [
            "10.0.0.1",
            "::",
            "::2",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "fe80::1",
        ] {
            assert!(!Origin::of_socket(address(remote)).is_loopback(), "{remote}");
        }
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let counted = |text| Origin::of_socket(address(text)).counted();
        assert_eq!(counted("2001:db8::1"), counted("2001:db8::ffff:1:2:3"));
        assert_ne!(counted("2001:db8::1"), counted("2001:db8:0:1::1"));
        assert_eq!(counted("::ffff:10.0.0.1"), counted("10.0.0.1"));
        assert_ne!(counted("10.0.0.1"), counted("10.0.0.2"));
    }
}
