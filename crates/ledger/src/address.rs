//! The content of `NATS_URL`: the servers, and the user to connect as.

use crate::error::ConnectError;
use async_nats::{ConnectOptions, ServerAddr};

/// The shape of a URL, for the error text of one that has another shape.
const SHAPE: &str = "a URL looks like nats://user:password@127.0.0.1:4222";

/// One or more servers of one cluster.
pub(crate) struct Address {
    pub servers: Vec<ServerAddr>,
    user: Option<(String, String)>,
}

impl Address {
    /// Reads comma-separated URLs. User and password come from the first URL that has them, and are also used for
    /// servers that the client discovers later. Both are taken literally, without percent-decoding.
    pub fn parse(urls: &str) -> Result<Self, ConnectError> {
        let servers: Vec<ServerAddr> = urls
            .split(',')
            .map(|one| {
                let one = one.trim();
                one.parse().map_err(|e| ConnectError::Unreachable {
                    url: one.rsplit('@').next().unwrap_or_default().to_owned(),
                    cause: format!("{e}; {SHAPE}"),
                })
            })
            .collect::<Result<_, _>>()?;
        let user =
            servers.iter().find_map(|server| Some((server.username()?.to_owned(), server.password()?.to_owned())));
        Ok(Self { servers: servers.into_iter().map(without_password).collect(), user })
    }

    /// The options of a connection as this user. A user may subscribe below `_INBOX_<user>` only, so that no user can
    /// read the answers to another. Without a user the inbox is the default one.
    pub fn options(&self) -> ConnectOptions {
        let options = ConnectOptions::new();
        match &self.user {
            None => options,
            Some((user, password)) => {
                let options = options.user_and_password(user.clone(), password.clone());
                if is_token(user) { options.custom_inbox_prefix(format!("_INBOX_{user}")) } else { options }
            }
        }
    }
}

/// Removes the credentials from a URL. The client logs its servers at debug level, so the URLs that it is given hold no
/// password.
fn without_password(server: ServerAddr) -> ServerAddr {
    if server.password().is_none() {
        return server;
    }
    let mut url = server.clone().into_inner();
    // Neither call fails: a URL with a password has a host.
    let _ = url.set_password(None).and_then(|()| url.set_username(""));
    ServerAddr::from_url(url).unwrap_or(server)
}

/// Prints the address without the password, for errors and logs.
impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some((user, _)) = &self.user {
            write!(f, "{user} at ")?;
        }
        for (position, server) in self.servers.iter().enumerate() {
            let comma = if position > 0 { "," } else { "" };
            write!(f, "{comma}{}://{}:{}", server.scheme(), server.host(), server.port())?;
        }
        Ok(())
    }
}

/// True if the name can be a token of a subject without escaping.
fn is_token(user: &str) -> bool {
    user.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn s19_a_password_is_used_and_never_shown() {
        let address = Address::parse("nats://api:p4ss@10.0.0.1:4222, nats://10.0.0.2").unwrap();
        assert_eq!(address.to_string(), "api at nats://10.0.0.1:4222,nats://10.0.0.2:4222");
        assert_eq!(address.user, Some(("api".to_owned(), "p4ss".to_owned())));
        assert!(!format!("{:?}", address.servers).contains("p4ss"), "the client logs them");
        let error = Address::parse("ftp://api:p4ss@10.0.0.1").map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("10.0.0.1") && !error.contains("p4ss"), "{error}");
    }

    #[test]
    fn without_a_user_nothing_changes() {
        let address = Address::parse("nats://127.0.0.1:4222").unwrap();
        assert!(address.user.is_none());
        assert_eq!(address.to_string(), "nats://127.0.0.1:4222");
        assert!(!is_token("a.b") && !is_token("a>") && is_token("mint-projector"));
    }
}
