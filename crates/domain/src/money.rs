//! Amounts. Checked arithmetic only; on the wire they are decimal strings, because JSON numbers lose digits.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::num::NonZeroU32;

/// USDC in atomic units, six decimals: 10_000 is 0.01 USDC. The range of u64 is 18 trillion dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Usdc(pub u64);

impl Usdc {
    /// The price of `quantity` units at `self` each. Returns `None` if it overflows, because no such payment can exist.
    pub fn times(self, quantity: Quantity) -> Option<Self> {
        self.0.checked_mul(u64::from(quantity.get())).map(Self)
    }
}

impl fmt::Display for Usdc {
    /// In dollars, for people: `0.010000 USDC`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06} USDC", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

impl Serialize for Usdc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Usdc {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        decimal(&String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
    }
}

/// Units bought in one order: one entry of 10 units, not ten mints. The contract takes a uint32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quantity(NonZeroU32);

impl Quantity {
    /// `None` for zero: an order of nothing is no order.
    pub const fn new(units: u32) -> Option<Self> {
        match NonZeroU32::new(units) {
            Some(units) => Some(Self(units)),
            None => None,
        }
    }

    /// Number of units, at least 1.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Reads a canonical decimal: digits only, no sign, no leading zero, so that one amount has one spelling.
fn decimal(text: &str) -> Result<u64, String> {
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    if text.is_empty() || !canonical {
        return Err(format!("an amount is a decimal string such as \"10000\", not {text:?}"));
    }
    text.parse().map_err(|_| format!("the amount {text:?} does not fit in 64 bits"))
}

/// A u64 that travels as a decimal string, for `#[serde(with)]`.
pub mod decimal_string {
    use super::{Deserialize, Deserializer, Serializer, de, decimal};

    /// Writes the digits.
    pub fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    /// Reads canonical digits.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        decimal(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// A u128 that travels as a decimal string, for `#[serde(with)]`: wei, and token base units.
pub mod decimal_string_u128 {
    use super::{Deserialize, Deserializer, Serializer, de};

    /// Writes the digits.
    pub fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    /// Reads digits.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_one_spelling() {
        assert_eq!(serde_json::from_str::<Usdc>("\"10000\"").unwrap(), Usdc(10_000));
        assert_eq!(serde_json::to_string(&Usdc(10_000)).unwrap(), "\"10000\"");
        for bad in ["10000", "\"010\"", "\"\"", "\"-1\"", "\"+1\"", "\"1e4\"", "\" 1\"", "\"18446744073709551616\""] {
            assert!(serde_json::from_str::<Usdc>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_price_that_overflows_is_no_price() {
        let two = Quantity::new(2).unwrap();
        assert_eq!(Usdc(10_000).times(two), Some(Usdc(20_000)));
        assert_eq!(Usdc(u64::MAX).times(two), None);
    }
}
