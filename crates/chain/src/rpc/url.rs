//! The URL of a provider. Its path and query may hold an API key, so only its host is ever shown.

use reqwest::Url;
use std::fmt;
use std::str::FromStr;

/// URL of a node's HTTP JSON-RPC. It prints as host and port.
#[derive(Clone, PartialEq, Eq)]
pub struct RpcUrl(Url);

impl RpcUrl {
    pub(crate) fn get(&self) -> &Url {
        &self.0
    }
}

impl FromStr for RpcUrl {
    type Err = String;

    /// Parses the URL. The error never contains the text.
    /// s no URL ({e})
    /// t not a URL ({e})
    /// s no http or https URL with a host
    /// t not an http or https URL with a host
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url: Url = text.parse().map_err(|e| format!("no URL ({e})"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err("no http or https URL with a host".to_owned());
        }
        Ok(Self(url))
    }
}

impl fmt::Display for RpcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.host_str().unwrap_or_default())?;
        self.0.port().map_or(Ok(()), |port| write!(f, ":{port}"))
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
        for bad in ["", "s3cret", "ws://base.example/s3cret", "http://"] {
            assert!(!bad.parse::<RpcUrl>().unwrap_err().contains("s3cret"), "{bad}");
        }
    }
}
