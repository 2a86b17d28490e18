//! Configuration, read from environment variables only. An error names the variable and gives an example of its value.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// An error in the configuration. The value itself is not printed, because it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not set.
    #[error("{variable} is not set; example: {shape}")]
    Missing {
        /// Its name.
        variable: String,
        /// An example.
        shape: String,
    },
    /// Set to an invalid value.
    #[error("{variable} is invalid: {why}; example: {shape}")]
    Invalid {
        /// Its name.
        variable: String,
        /// An example.
        shape: String,
        /// The reason.
        why: String,
    },
}

/// A set of variables: the process's own, or one made by a test. Printing shows only the names, because values may be
/// secrets.
#[derive(Clone, Default)]
pub struct Env(HashMap<String, String>);

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Env {
    /// The process's environment. A variable that is not UTF-8 counts as not set.
    pub fn process() -> Self {
        Self(std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect())
    }

    /// A set of given variables.
    pub fn of<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }

    /// The text of a variable that must be set. `shape` is an example for the error.
    ///
    /// # Errors
    /// [`ConfigError::Missing`].
    pub fn text(&self, variable: &str, shape: &str) -> Result<String, ConfigError> {
        match self.0.get(variable).map(|value| value.trim()) {
            Some(value) if !value.is_empty() => Ok(value.to_owned()),
            _ => Err(ConfigError::Missing { variable: variable.to_owned(), shape: shape.to_owned() }),
        }
    }

    /// The text of an optional variable.
    pub fn text_or(&self, variable: &str, default: &str) -> String {
        self.text(variable, "").unwrap_or_else(|_| default.to_owned())
    }

    /// `INSTANCE`: the name of this process in the ledger. Where it is not set, the service, the host and the process id,
    /// so that two processes never share a name.
    pub fn instance(&self, service: &str) -> String {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        self.text_or("INSTANCE", &format!("{service}-{}-{}", host.trim(), std::process::id()))
    }

    /// A value that must be set and must parse.
    ///
    /// # Errors
    /// [`ConfigError`] with the variable and its shape.
    pub fn parse<T: FromStr>(&self, variable: &str, shape: &str) -> Result<T, ConfigError>
    where
        T::Err: fmt::Display,
    {
        let text = self.text(variable, shape)?;
        text.parse().map_err(|e: T::Err| ConfigError::Invalid {
            variable: variable.to_owned(),
            shape: shape.to_owned(),
            why: e.to_string(),
        })
    }

    /// A value with a default. If the variable is set, it must parse.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`].
    pub fn parse_or<T: FromStr>(&self, variable: &str, shape: &str, default: T) -> Result<T, ConfigError>
    where
        T::Err: fmt::Display,
    {
        match self.parse(variable, shape) {
            Err(ConfigError::Missing { .. }) => Ok(default),
            answer => answer,
        }
    }

    /// An optional value.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`].
    pub fn optional<T: FromStr>(&self, variable: &str, shape: &str) -> Result<Option<T>, ConfigError>
    where
        T::Err: fmt::Display,
    {
        match self.parse(variable, shape) {
            Err(ConfigError::Missing { .. }) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// One or more values, separated by commas.
    ///
    /// # Errors
    /// [`ConfigError`] if there is none, or one does not parse.
    pub fn list<T: FromStr>(&self, variable: &str, shape: &str) -> Result<Vec<T>, ConfigError>
    where
        T::Err: fmt::Display,
    {
        let text = self.text(variable, shape)?;
        text.split(',')
            .map(|one| {
                one.trim().parse().map_err(|e: T::Err| ConfigError::Invalid {
                    variable: variable.to_owned(),
                    shape: shape.to_owned(),
                    why: e.to_string(),
                })
            })
            .collect()
    }

    /// A duration in whole milliseconds; the variable's name ends in `_MS`.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`].
    pub fn millis_or(&self, variable: &str, default: Duration) -> Result<Duration, ConfigError> {
        let default_ms = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
        self.parse_or(variable, "a number of milliseconds such as 2000", default_ms).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_error_names_the_variable_and_its_shape() {
        let env = Env::of([("PORT", "eighty"), ("EMPTY", " ")]);
        let missing = env.text("NATS_URL", "nats://127.0.0.1:4222").map_err(|e| e.to_string());
        assert_eq!(missing, Err("NATS_URL is not set; example: nats://127.0.0.1:4222".to_owned()));
        let invalid = env.parse::<u16>("PORT", "4021").map_err(|e| e.to_string());
        assert_eq!(invalid, Err("PORT is invalid: invalid digit found in string; example: 4021".to_owned()));
        assert!(env.text("EMPTY", "something").is_err());
        assert_eq!(env.parse_or("ABSENT", "4021", 7_u16), Ok(7));
        assert!(env.parse_or("PORT", "4021", 7_u16).is_err());
        assert_eq!(Env::of([("INSTANCE", "lane-1")]).instance("payment-sender"), "lane-1");
        let own = env.instance("payment-sender");
        assert!(own.starts_with("payment-sender-") && own.ends_with(&format!("-{}", std::process::id())), "{own}");
        assert!(!format!("{env:?}").contains("eighty"), "values may be secrets");
    }
}
