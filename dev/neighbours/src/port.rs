//! Ports on 127.0.0.1: one that was asked for, or a free one of our own choice.

use crate::{NeighbourError, Result};
use std::{
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener, UdpSocket},
    time::{Duration, Instant},
};

/// Free ports are taken from below the range in which Linux (32768) and macOS (49152) place outgoing connections,
/// so that none of those takes the port while a server is restarted on it.
const FIRST_FREE: u16 = 20_000;
const FREE_PORTS: u16 = 12_000;
/// Far more than ever needed: one in a thousand of these ports is taken on a busy machine.
const FREE_ATTEMPTS: u32 = 200;
/// A predecessor that was killed with its parent closes its sockets a moment after its last sign of life.
const TAKEN_PATIENCE: Duration = Duration::from_secs(1);

/// A port that a server is to listen on.
pub(crate) struct Wanted {
    pub(crate) server: &'static str,
    pub(crate) port: Option<u16>,
    pub(crate) variable: &'static str,
}

/// A port that nobody listened on when it was taken.
///
/// The UDP socket of the same number keeps it ours while the server starts, restarts and rests: other processes that
/// use this crate (tests run side by side) leave a claimed number alone.
pub(crate) struct Port {
    pub(crate) number: u16,
    _claim: Option<UdpSocket>,
}

impl Port {
    /// Takes one port for each of `wanted`.
    /// # Errors
    /// Those of [`Port::take`] for the first that cannot be had.
    pub(crate) async fn take_all<const N: usize>(wanted: &[Wanted; N]) -> Result<[Self; N]> {
        let mut taken = Vec::with_capacity(N);
        for wanted in wanted {
            taken.push(Self::take(wanted).await?);
        }
        taken.try_into().map_err(|_| NeighbourError::NoPort { server: "a server" }) // N were taken
    }

    /// # Errors
    /// `PortTaken` for a port that was asked for, `NoPort` otherwise.
    pub(crate) async fn take(wanted: &Wanted) -> Result<Self> {
        let Some(number) = wanted.port else {
            return free().ok_or(NeighbourError::NoPort { server: wanted.server });
        };
        let deadline = Instant::now() + TAKEN_PATIENCE;
        while !is_free(number) {
            if Instant::now() > deadline {
                return Err(NeighbourError::PortTaken {
                    server: wanted.server,
                    port: number,
                    variable: wanted.variable,
                });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Self { number, _claim: claim(number) })
    }
}

fn free() -> Option<Port> {
    (0..FREE_ATTEMPTS).find_map(|attempt| {
        let random = RandomState::new().hash_one(attempt) % u64::from(FREE_PORTS);
        let number = FIRST_FREE + u16::try_from(random).ok()?;
        let claim = claim(number)?;
        is_free(number).then_some(Port { number, _claim: Some(claim) })
    })
}

fn is_free(number: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok()
}

fn claim(number: u16) -> Option<UdpSocket> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on says where
mod tests {
    use super::*;

    #[tokio::test]
    async fn free_ports_are_never_given_out_twice() {
        let wanted = Wanted { server: "test", port: None, variable: "TEST_PORT" };
        let mut ports = Vec::new();
        for _ in 0..100 {
            ports.push(Port::take(&wanted).await.unwrap());
        }
        let numbers: std::collections::BTreeSet<u16> = ports.iter().map(|port| port.number).collect();
        assert_eq!(numbers.len(), 100);
    }
}
