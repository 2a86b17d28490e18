//! Identifies a client by its network address.

use axum::http::HeaderMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The address by which a client is counted: an IPv4 address, or the /64 of an IPv6 address. The owner of one IPv6
/// address usually has the whole /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientIp(IpAddr);

impl From<IpAddr> for ClientIp {
    fn from(ip: IpAddr) -> Self {
        // An IPv4 client at an IPv6 socket would share a /64 with every other.
        Self(match ip.to_canonical() {
            IpAddr::V4(ip) => ip.into(),
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
        })
    }
}

impl ClientIp {
    /// The client behind `hops` trusted proxies. Each of them appended its peer to `X-Forwarded-For`, so the `hops`-th
    /// entry from the right is the peer of the outermost one. Entries further left may be forged. Returns `peer` if there
    /// is no proxy, or no address at that place.
    pub fn of(peer: IpAddr, headers: &HeaderMap, hops: usize) -> Self {
        hops.checked_sub(1).and_then(|nth| forwarded(headers, nth)).unwrap_or(peer).into()
    }
}

/// The address at place `nth` from the right; 0 is the last one.
fn forwarded(headers: &HeaderMap, nth: usize) -> Option<IpAddr> {
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let entries = lines.flat_map(|line| line.as_bytes().rsplit(|b| *b == b','));
    let text = std::str::from_utf8(entries.into_iter().nth(nth)?).ok()?.trim();
    // Some proxies append the port.
    text.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn of(hops: usize, lines: &[&str]) -> String {
        let name = HeaderName::from_static("x-forwarded-for");
        let headers = lines.iter().map(|line| (name.clone(), HeaderValue::from_str(line).unwrap()));
        ClientIp::of("192.0.2.1".parse().unwrap(), &headers.collect(), hops).0.to_string()
    }

    #[test]
    fn b46_only_what_our_own_proxies_appended_is_believed() {
        const SOCKET: &str = "192.0.2.1";
        let cases: [(usize, &[&str], &str); 12] = [
            (0, &[], SOCKET),
            (0, &["203.0.113.9"], SOCKET),
            (1, &[], SOCKET),
            (1, &["203.0.113.9"], "203.0.113.9"),
            (1, &["198.51.100.7, 203.0.113.9"], "203.0.113.9"),
            (2, &["6.6.6.6, 198.51.100.7,203.0.113.9"], "198.51.100.7"),
            (2, &["6.6.6.6", "198.51.100.7", "203.0.113.9"], "198.51.100.7"),
            (2, &["203.0.113.9"], SOCKET),
            (1, &["203.0.113.9:4711"], "203.0.113.9"),
            (1, &["[2001:db8:1:2:3::4]:4711"], "2001:db8:1:2::"),
            (1, &["203.0.113.9, unknown"], SOCKET),
            (1, &["203.0.113.9,"], SOCKET),
        ];
        for (hops, lines, expected) in cases {
            assert_eq!(of(hops, lines), expected, "{hops} {lines:?}");
        }
    }

    #[test]
    fn b48_an_ipv6_client_counts_by_its_network() {
        let counted = |text: &str| ClientIp::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(counted("2001:db8:1:2::1"), counted("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(counted("2001:db8:1:2::1"), counted("2001:db8:1:3::1"));
        assert_eq!(counted("::ffff:203.0.113.9"), counted("203.0.113.9"));
        assert_ne!(counted("203.0.113.9"), counted("203.0.113.8"));
    }
}
