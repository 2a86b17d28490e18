//! Addresses in paths and queries.

use alloy_primitives::Address;

/// Parses 0x and 40 hex digits of any case. Addresses are compared by value.
pub(crate) fn address(text: &str) -> Option<Address> {
    text.strip_prefix("0x").filter(|digits| digits.len() == 40)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b45_a_token_is_an_address_and_nothing_else() {
        assert!(address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8").is_some());
        assert!(address("0x70997970c51812dc3a010c7d01b50e0d17dc79c8").is_some());
        let bad = ["", "0x", "70997970c51812dc3a010c7d01b50e0d17dc79c8", "0X70997970c51812dc3a010c7d01b50e0d17dc79c8"];
        for text in
            bad.into_iter().chain(["0x0x997970c51812dc3a010c7d01b50e0d17dc79c8", "../tokens", "%00", "vitalik.eth"])
        {
            assert!(address(text).is_none(), "{text}");
        }
    }
}
