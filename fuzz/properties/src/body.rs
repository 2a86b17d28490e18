//! The body of an order.

use crate::Outcome;
use serde_json::Value;

#[allow(dead_code, reason = "the api's own file, without the rest of the api")]
#[path = "../../../services/api/src/body.rs"]
mod door;

/// Target: an accepted body has the same quantity for every JSON parser, whatever its spelling. A refused body has
/// none.
pub fn body(input: &[u8]) -> Outcome {
    // `None` also for valid JSON with a defect where the parser does not look: half of a surrogate pair, 1e400, deep
    // nesting.
    let read = serde_json::from_slice::<Value>(input).ok();
    match door::quantity(input) {
        Ok(quantity) => {
            assert!(read.is_none_or(|read| read["quantity"] == quantity.get()));
            let again = format!("\n{{ \"quantity\" : {quantity}, \"more\": [] }}\t");
            assert_eq!(door::quantity(again.as_bytes()), Ok(quantity));
            Outcome::Taken
        }
        Err(door::BadBody::Quantity) => {
            let said = read.and_then(|read| read["quantity"].as_u64());
            assert!(said.is_none_or(|said| said == 0 || said > u64::from(u32::MAX)), "{said:?} is a quantity");
            Outcome::Refused
        }
        Err(door::BadBody::Malformed) => Outcome::Refused,
    }
}
