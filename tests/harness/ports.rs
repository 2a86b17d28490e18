//! Ports on which a process may be started several times.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// Free ports, with the sockets that reserve them. The ports are below those that the kernel gives to outgoing
/// connections. While a UDP socket of the same number is held, other tests do not use the port.
pub fn free_ports(count: usize) -> (Vec<u16>, Vec<UdpSocket>) {
    let mut sockets = Vec::new();
    for port in 12_000..19_000 {
        if sockets.len() < count
            && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            && let Ok(claim) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))
        {
            sockets.push(claim);
        }
    }
    assert_eq!(sockets.len(), count, "no free ports");
    (sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect(), sockets)
}
