//! Configuration comes from environment variables only. An error names the variable and how a valid value looks.

use crate::variable::{Form, Unset, Variable};
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// An error in the configuration. The value itself is not printed, because it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The variable is not set.
    #[error("{variable} is not set; it looks like {shape}")]
    Missing {
        /// Its name.
        variable: String,
        /// How a valid value looks.
        shape: String,
    },
    /// The variable is set to a value that cannot be used.
    #[error("{variable} cannot be read: {why}; it looks like {shape}")]
    Invalid {
        /// Its name.
        variable: String,
        /// How a valid value looks.
        shape: String,
        /// The defect of the value.
        why: String,
    },
}

impl ConfigError {
    /// The value of a variable cannot be used, because of `why`.
    pub fn invalid(variable: &str, shape: &str, why: impl Into<String>) -> Self {
        Self::Invalid { variable: variable.to_owned(), shape: shape.to_owned(), why: why.into() }
    }
}

/// A set of environment variables, which remembers the rows of those that were asked for. `Debug` prints names only,
/// because values may be secrets.
#[derive(Clone, Default)]
pub struct Env {
    values: HashMap<String, String>,
    answers_with_examples: bool,
    asked: Arc<Mutex<Vec<Variable>>>,
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Env {
    /// The environment of this process. A value that is not UTF-8 counts as not set.
    pub fn process() -> Self {
        Self::of(std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))))
    }

    /// A set of the given names and values.
    pub fn of<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let values = pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        Self { values, ..Self::default() }
    }

    /// A set in which every required variable has the value of its example. A parser that reads it to the end shows all
    /// its variables in [`Env::describe`].
    pub fn examples() -> Self {
        Self { answers_with_examples: true, ..Self::default() }
    }

    /// The variables that a file of `NAME=value` lines sets. Lines that begin with `#` are comments.
    pub fn from_file_text(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        Self::of(lines.filter_map(|line| line.split_once('=')))
    }

    /// The rows of all variables that were asked for, in that order, each once.
    pub fn describe(&self) -> Vec<Variable> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns true if the variable is set to a text that is not empty.
    pub fn is_set(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| !value.trim().is_empty())
    }

    /// The value of a variable that is required or has a default.
    ///
    /// # Errors
    /// [`ConfigError`] names the variable and how a valid value looks.
    pub fn get<T: FromStr>(&self, variable: &Variable) -> Result<T, ConfigError>
    where
        T::Err: fmt::Display,
    {
        parse(variable, &self.text(variable)?.ok_or_else(|| missing(variable))?)
    }

    /// The value of a variable that may be left out; `None` if it is.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`].
    pub fn find<T: FromStr>(&self, variable: &Variable) -> Result<Option<T>, ConfigError>
    where
        T::Err: fmt::Display,
    {
        self.text(variable)?.map(|text| parse(variable, &text)).transpose()
    }

    /// The values of a list with commas.
    ///
    /// # Errors
    /// [`ConfigError`] when there is none, or one cannot be parsed.
    pub fn list<T: FromStr>(&self, variable: &Variable) -> Result<Vec<T>, ConfigError>
    where
        T::Err: fmt::Display,
    {
        let text = self.text(variable)?.ok_or_else(|| missing(variable))?;
        text.split(',').map(|one| parse(variable, one.trim())).collect()
    }

    /// Values that are separated by commas, none if the variable is not set.
    ///
    /// # Errors
    /// [`ConfigError`] names the variable and its shape.
    pub fn find_list<T: FromStr>(&self, variable: &Variable) -> Result<Vec<T>, ConfigError>
    where
        T::Err: fmt::Display,
    {
        if self.text(variable)?.is_none() { Ok(Vec::new()) } else { self.list(variable) }
    }

    /// A whole number within the bounds of its row.
    ///
    /// # Errors
    /// [`ConfigError`] names the variable and its bounds.
    pub fn number<T: TryFrom<u64>>(&self, variable: &Variable) -> Result<T, ConfigError> {
        let number: u64 = self.get(variable)?;
        let (Form::Number(range) | Form::Millis(range)) = &variable.form else {
            return Err(ConfigError::invalid(&variable.name, &variable.shape(), "its row has no bounds"));
        };
        let fits = range.contains(&number).then(|| T::try_from(number).ok()).flatten();
        fits.ok_or_else(|| ConfigError::invalid(&variable.name, &variable.shape(), "it is out of bounds"))
    }

    /// A duration in whole milliseconds within the bounds of its row.
    ///
    /// # Errors
    /// [`ConfigError`] names the variable and its bounds.
    pub fn millis(&self, variable: &Variable) -> Result<Duration, ConfigError> {
        self.number(variable).map(Duration::from_millis)
    }

    /// `INSTANCE`: the name of this process in the ledger. Without it, the service, the host and the process id, so that
    /// two processes never share a name.
    ///
    /// # Errors
    /// None today.
    pub fn instance(&self, service: &str) -> Result<String, ConfigError> {
        let named = self.find(&Variable::optional(
            "INSTANCE",
            "payment-sender-1",
            "Name of this process in the ledger. Each instance needs its own. Without it: service, host, process id.",
        ))?;
        let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Ok(named.unwrap_or_else(|| format!("{service}-{}-{}", host().trim(), std::process::id())))
    }

    fn text(&self, variable: &Variable) -> Result<Option<String>, ConfigError> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.iter().all(|row| row.name != variable.name) {
            asked.push(variable.clone());
        }
        if let Some(value) = self.values.get(&variable.name).map(|value| value.trim()).filter(|text| !text.is_empty()) {
            return Ok(Some(value.to_owned()));
        }
        match &variable.unset {
            Unset::Value(value) => Ok(Some(value.clone())),
            Unset::Nothing => Ok(None),
            Unset::Refused if self.answers_with_examples => Ok(Some(variable.example.clone())),
            Unset::Refused => Err(missing(variable)),
        }
    }
}

fn missing(variable: &Variable) -> ConfigError {
    ConfigError::Missing { variable: variable.name.clone(), shape: variable.shape() }
}

fn parse<T: FromStr>(variable: &Variable, text: &str) -> Result<T, ConfigError>
where
    T::Err: fmt::Display,
{
    text.parse().map_err(|e: T::Err| ConfigError::invalid(&variable.name, &variable.shape(), e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port() -> Variable {
        Variable::number("PORT", 4021, 1..=65_535, "Port.")
    }

    #[test]
    fn a_configuration_error_names_the_variable_and_its_shape() {
        let env = Env::of([("PORT", "eighty"), ("EMPTY", " ")]);
        let url = Variable::required("NATS_URL", "nats://127.0.0.1:4222", "Server.");
        let missing = env.get::<String>(&url).map_err(|e| e.to_string());
        assert_eq!(missing, Err("NATS_URL is not set; it looks like nats://127.0.0.1:4222".to_owned()));
        let invalid = env.number::<u16>(&port()).map_err(|e| e.to_string());
        let said = "PORT cannot be read: invalid digit found in string; it looks like a number from 1 to 65535";
        assert_eq!(invalid, Err(said.to_owned()));
        assert_eq!(env.find::<String>(&Variable::optional("EMPTY", "something", "A text.")), Ok(None));
        assert!(!format!("{env:?}").contains("eighty"), "values may be secrets");
    }

    #[test]
    fn m9_two_processes_never_share_the_name_of_an_instance_by_default() {
        assert_eq!(Env::of([("INSTANCE", "lane-1")]).instance("payment-sender"), Ok("lane-1".to_owned()));
        let own = Env::default().instance("payment-sender").unwrap_or_default();
        assert!(own.starts_with("payment-sender-") && own.ends_with(&format!("-{}", std::process::id())), "{own}");
    }

    #[test]
    fn a_number_has_a_floor_and_a_ceiling() {
        assert_eq!(Env::default().number(&port()), Ok(4021_u16));
        for (value, fits) in [("0", false), ("1", true), ("65535", true), ("65536", false), ("-1", false)] {
            assert_eq!(Env::of([("PORT", value)]).number::<u64>(&port()).is_ok(), fits, "{value}");
        }
    }

    #[test]
    fn what_was_read_can_be_described_and_the_example_can_be_parsed() {
        let rows = |env: &Env| {
            env.get::<String>(&Variable::required("NATS_URL", "nats://a", "Server."))
                .map(|url| (url, env.number(&port())))
        };
        let env = Env::examples();
        assert_eq!(rows(&env), Ok(("nats://a".to_owned(), Ok(4021_u16))));
        let text = crate::env_example(&env.describe());
        assert_eq!(
            text,
            "# Server.\n# text; required\nNATS_URL=nats://a\n\n# Port.\n# number, 1 to 65535; default 4021\n#PORT=4021\n"
        );
        assert_eq!(rows(&Env::from_file_text(&text)), rows(&env));
    }
}
