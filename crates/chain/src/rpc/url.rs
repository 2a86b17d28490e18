//! The URL of a provider. Its path and query may hold an API key, so only its host is ever shown.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::Uri;
use hyper::header::HeaderValue;
use percent_encoding::percent_decode_str;
use std::fmt;
use std::str::FromStr;
use url::{Host, Url};

/// URL of a node's HTTP JSON-RPC. It prints as host and port.
#[derive(Clone, PartialEq, Eq)]
pub struct RpcUrl {
    url: Url,
    /// The URL without user and password.
    uri: Uri,
    /// User and password, as the header that carries them.
    credentials: Option<HeaderValue>,
}

impl RpcUrl {
    /// Where to send a question.
    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The value of the header `Authorization`, if the URL names a user.
    pub(crate) fn credentials(&self) -> Option<&HeaderValue> {
        self.credentials.as_ref()
    }

    pub(crate) fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Returns `true` if a question travels unencrypted to a host that is neither this machine nor on a private network.
    /// A name without a dot is one of a private network, such as that of a container.
    pub(crate) fn is_open_to_others(&self) -> bool {
        let is_near = match self.url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback() || address.is_private() || address.is_link_local(),
            Some(Host::Ipv6(address)) => {
                address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
            }
            Some(Host::Domain(name)) => !name.contains('.') || name.ends_with(".localhost"),
            None => false,
        };
        !self.is_https() && !is_near
    }
}

/// User and password of `url` for HTTP's Basic scheme; `None` if it has neither.
fn basic(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    let mut value: HeaderValue = format!("Basic {}", BASE64_STANDARD.encode(pair)).parse().ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl FromStr for RpcUrl {
    type Err = String;

    /// Parses the URL. The error never contains the text.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url: Url = text.parse().map_err(|e| format!("not a URL ({e})"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err("not an http or https URL with a host".to_owned());
        }
        let mut bare = url.clone();
        // Both fail only for a URL without a host.
        let _ = (bare.set_username(""), bare.set_password(None));
        let uri = bare.as_str().parse().map_err(|_| "no URL that HTTP can send to")?;
        Ok(Self { credentials: basic(&url), uri, url })
    }
}

impl fmt::Display for RpcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.host_str().unwrap_or_default())?;
        self.url.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for RpcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RpcUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_shows_its_host_and_keeps_its_key() {
        let cases = [
            ("https://base.example/v2/s3cret", "base.example"),
            ("https://user:s3cret@base.example:8443/?key=s3cret", "base.example:8443"),
            ("http://127.0.0.1:8545", "127.0.0.1:8545"),
        ];
        for (text, shown) in cases {
            let url: RpcUrl = text.parse().unwrap();
            assert_eq!((url.to_string(), format!("{url:?}")), (shown.to_owned(), format!("RpcUrl({shown})")));
        }
        let with_user: RpcUrl = "https://user:s3%2Fcret@base.example:8443/v2?key=k#part".parse().unwrap();
        assert_eq!(with_user.uri().to_string(), "https://base.example:8443/v2?key=k");
        assert_eq!(with_user.credentials().unwrap(), "Basic dXNlcjpzMy9jcmV0");
        assert!(!format!("{:?}", with_user.credentials()).contains("dXNl"));
        for bad in ["", "s3cret", "ws://base.example/s3cret", "http://"] {
            assert!(!bad.parse::<RpcUrl>().unwrap_err().contains("s3cret"), "{bad}");
        }
    }

    #[test]
    fn only_http_to_a_distant_host_is_open_to_others() {
        let cases = [
            ("http://base.example/v2/s3cret", true),
            ("http://203.0.113.7:8545", true),
            ("http://[2001:db8::1]:8545", true),
            ("https://base.example/v2/s3cret", false),
            ("http://localhost:8545", false),
            ("http://geth:8545", false),
            ("http://127.0.0.1:8545", false),
            ("http://192.168.1.7:8545", false),
            ("http://[::1]:8545", false),
            ("http://[fd00::7]:8545", false),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<RpcUrl>().unwrap().is_open_to_others(), expected, "{text}");
        }
    }
}
