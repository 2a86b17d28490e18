//! The body of an order: one JSON object with a quantity. This file depends on nothing else, so that it can be fuzzed
//! alone (`fuzz/properties` compiles it).

use domain::Quantity;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The reason why a body is no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadBody {
    /// The body is not one JSON object, or a key that matters occurs twice.
    Malformed,
    /// `quantity` is missing or no whole number from 1 to 4294967295.
    Quantity,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    quantity: Option<&'a RawValue>,
}

/// Reads the quantity from a body. Other keys are ignored.
///
/// # Errors
/// [`BadBody`].
pub fn quantity(body: &[u8]) -> Result<Quantity, BadBody> {
    // serde does not check text that it skips, and would also fill a struct from an array.
    let text = std::str::from_utf8(body).map_err(|_| BadBody::Malformed)?;
    let is_object = text.trim_ascii_start().starts_with('{');
    let body: Body<'_> = if is_object { serde_json::from_str(text).ok() } else { None }.ok_or(BadBody::Malformed)?;
    let units = body.quantity.and_then(|raw| raw.get().parse().ok());
    units.and_then(Quantity::new).ok_or(BadBody::Quantity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b45_a_quantity_is_a_whole_number_from_one_on() {
        use BadBody::{Malformed, Quantity as NoQuantity};
        let cases: [(&str, Result<u32, BadBody>); 22] = [
            (r#"{"quantity":1}"#, Ok(1)),
            (" {\n\"quantity\" : 4294967295 } ", Ok(u32::MAX)),
            (r#"{"quantity":5,"note":"other keys are nobody's business"}"#, Ok(5)),
            ("", Err(Malformed)),
            ("null", Err(Malformed)),
            ("10", Err(Malformed)),
            ("[10]", Err(Malformed)),
            ("quantity=10", Err(Malformed)),
            (r#"{"quantity":1}{"#, Err(Malformed)),
            (r#"{"quantity":1,"quantity":2}"#, Err(Malformed)),
            (r#"{"quantity":01}"#, Err(Malformed)),
            (r#"{"quantity":NaN}"#, Err(Malformed)),
            ("{}", Err(NoQuantity)),
            (r#"{"quantity":null}"#, Err(NoQuantity)),
            (r#"{"quantity":0}"#, Err(NoQuantity)),
            (r#"{"quantity":-1}"#, Err(NoQuantity)),
            (r#"{"quantity":1.0}"#, Err(NoQuantity)),
            (r#"{"quantity":1e18}"#, Err(NoQuantity)),
            (r#"{"quantity":"10"}"#, Err(NoQuantity)),
            (r#"{"quantity":4294967296}"#, Err(NoQuantity)),
            (r#"{"quantity":[1]}"#, Err(NoQuantity)),
            (r#"{"quantity":true}"#, Err(NoQuantity)),
        ];
        for (body, expected) in cases {
            assert_eq!(quantity(body.as_bytes()).map(Quantity::get), expected, "{body}");
        }
    }

    /// Found by the fuzz target `body`: invalid UTF-8 went unnoticed in a text that is skipped.
    #[test]
    fn b45_a_body_that_is_not_utf8_is_malformed_wherever_that_is() {
        for body in [&b"{\"quantity\":1,\"x\":\"\xd4\"}"[..], b"{\"\xd4\":1}", b"\xff{\"quantity\":1}"] {
            assert_eq!(quantity(body), Err(BadBody::Malformed));
        }
    }
}
