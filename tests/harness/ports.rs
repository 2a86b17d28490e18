//! Ports on which a process of ours may be started again and again.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// Free ones, with what keeps them ours. They are below those that the kernel gives to
/// outgoing connections, and the UDP socket of the same number keeps other tests away while it is held.
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
