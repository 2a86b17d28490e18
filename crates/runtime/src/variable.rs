//! One row for each environment variable: name, form, default, range and meaning, as data.

use std::ops::RangeInclusive;
use std::time::Duration;

/// An environment variable that a service reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// How its value is written.
    pub form: Form,
    /// A value that can be parsed.
    pub example: String,
    /// The value that applies if it is not set.
    pub unset: Unset,
    /// Why it exists, in one or two sentences.
    pub meaning: &'static str,
}

/// How a value is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// Text.
    Text,
    /// Text that is never printed.
    Secret,
    /// One or more values, separated by commas.
    List,
    /// A whole number within these bounds.
    Number(RangeInclusive<u64>),
    /// Whole milliseconds within these bounds.
    Millis(RangeInclusive<u64>),
}

/// The value that applies if a variable is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unset {
    /// The service does not start.
    Refused,
    /// This value.
    Value(String),
    /// Nothing: the part that it configures is absent.
    Nothing,
}

impl Variable {
    /// A variable without which the service does not start.
    pub fn required(name: &str, example: &str, meaning: &'static str) -> Self {
        Self::new(name, Form::Text, example, Unset::Refused, meaning)
    }

    /// A variable that may be left out, and then configures nothing.
    pub fn optional(name: &str, example: &str, meaning: &'static str) -> Self {
        Self::new(name, Form::Text, example, Unset::Nothing, meaning)
    }

    /// A variable with a default value.
    pub fn or(name: &str, default: &str, meaning: &'static str) -> Self {
        Self::new(name, Form::Text, default, Unset::Value(default.to_owned()), meaning)
    }

    /// A whole number with a default and bounds.
    pub fn number(name: &str, default: u64, range: RangeInclusive<u64>, meaning: &'static str) -> Self {
        let default = default.to_string();
        Self::new(name, Form::Number(range), &default, Unset::Value(default.clone()), meaning)
    }

    /// A duration with a default and bounds in milliseconds. The name ends in `_MS`.
    pub fn millis(name: &str, default: Duration, range: RangeInclusive<u64>, meaning: &'static str) -> Self {
        let default = default.as_millis().to_string();
        Self::new(name, Form::Millis(range), &default, Unset::Value(default.clone()), meaning)
    }

    /// Marks the value as one that is never printed.
    pub fn secret(self) -> Self {
        Self { form: Form::Secret, ..self }
    }

    /// Marks the value as a list with commas. A secret stays secret.
    pub fn list(self) -> Self {
        if self.form == Form::Secret { self } else { Self { form: Form::List, ..self } }
    }

    fn new(name: &str, form: Form, example: &str, unset: Unset, meaning: &'static str) -> Self {
        Self { name: name.to_owned(), form, example: example.to_owned(), unset, meaning }
    }

    /// How a valid value looks, for errors.
    pub fn shape(&self) -> String {
        match &self.form {
            Form::Number(range) => format!("a number from {} to {}", range.start(), range.end()),
            Form::Millis(range) => format!("milliseconds from {} to {}", range.start(), range.end()),
            Form::Text | Form::Secret | Form::List => self.example.clone(),
        }
    }

    /// Type, bounds and default in a few words.
    fn terms(&self) -> String {
        let form = match &self.form {
            Form::Text => "text".to_owned(),
            Form::Secret => "secret text".to_owned(),
            Form::List => "values separated by commas".to_owned(),
            Form::Number(range) => format!("number, {}", bounds(range)),
            Form::Millis(range) => format!("milliseconds, {}", bounds(range)),
        };
        match &self.unset {
            Unset::Refused => format!("{form}; required"),
            Unset::Value(value) => format!("{form}; default {value}"),
            Unset::Nothing => format!("{form}; optional"),
        }
    }
}

fn bounds(range: &RangeInclusive<u64>) -> String {
    match (*range.start(), *range.end()) {
        (from, u64::MAX) => format!("{from} or more"),
        (from, to) => format!("{from} to {to}"),
    }
}

/// The text of a `.env.example`: required variables are set to their example, the others are commented out.
pub fn env_example(rows: &[Variable]) -> String {
    let row = |row: &Variable| {
        let hash = if row.unset == Unset::Refused { "" } else { "#" };
        format!("# {}\n# {}\n{hash}{}={}\n", row.meaning, row.terms(), row.name, row.example)
    };
    rows.iter().map(row).collect::<Vec<_>>().join("\n")
}

/// The rows as a Markdown table.
pub fn env_table(rows: &[Variable]) -> String {
    let row = |row: &Variable| {
        let (form, unset) = row.terms().split_once("; ").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap_or_default();
        let unset = unset.strip_prefix("default ").map_or(unset.clone(), |value| format!("`{value}`"));
        format!("| `{}` | {form} | {unset} | {} |\n", row.name, row.meaning.replace('|', "\\|"))
    };
    let rows: String = rows.iter().map(row).collect();
    format!("| variable | type | default | meaning |\n|---|---|---|---|\n{rows}")
}
