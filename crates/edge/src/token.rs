//! A bearer token that the operators share.

use axum::http::HeaderValue;
use std::fmt;
use std::str::FromStr;
use subtle::ConstantTimeEq;

/// A secret that is sent as `Authorization: Bearer …`. It is never printed.
#[derive(Clone)]
pub struct BearerToken(String);

/// The token is too short, or has characters that a header cannot carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is too short, or has other characters")]
pub struct BadToken;

impl FromStr for BearerToken {
    type Err = BadToken;

    /// Accepts 16 or more visible ASCII characters. A shorter token can be guessed.
    fn from_str(text: &str) -> Result<Self, BadToken> {
        let good = text.len() >= 16 && text.bytes().all(|b| b.is_ascii_graphic());
        if good { Ok(Self(text.to_owned())) } else { Err(BadToken) }
    }
}

impl BearerToken {
    /// Returns true if an `Authorization` header carries this token. The comparison takes the same time for every wrong
    /// token of the right length.
    pub fn is_in(&self, authorization: &HeaderValue) -> bool {
        let sent = authorization.as_bytes().strip_prefix(b"Bearer ");
        sent.is_some_and(|sent| self.0.as_bytes().ct_eq(sent).into())
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_with_its_scheme_is_accepted() {
        let token: BearerToken = "sixteen-letters-".parse().unwrap();
        let cases = [
            ("Bearer sixteen-letters-", true),
            ("Bearer sixteen-letters_", false),
            ("Bearer sixteen-letters", false),
            ("Bearer sixteen-letters--", false),
            ("Basic sixteen-letters-", false),
            ("sixteen-letters-", false),
            ("", false),
        ];
        for (header, expected) in cases {
            assert_eq!(token.is_in(&HeaderValue::from_static(header)), expected, "{header}");
        }
        assert_eq!(format!("{token:?}"), "***");
        assert!("fifteen-letters".parse::<BearerToken>().is_err());
        assert!("sixteen letters ".parse::<BearerToken>().is_err());
    }
}
