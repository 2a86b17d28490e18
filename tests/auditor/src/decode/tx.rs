//! A signed EIP-1559 transaction, from its bytes.

use alloy_primitives::{Address, B256, U256, keccak256};

/// The decoded transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    pub hash: B256,
    pub chain_id: U256,
    pub nonce: U256,
    pub to: Address,
    pub value: U256,
    pub input: Vec<u8>,
}

/// Reads `0x02 || rlp([chainId, nonce, tip, feeCap, gas, to, value, input, accessList, yParity, r, s])`. None for
/// anything else.
pub fn decode(bytes: &[u8]) -> Option<Raw> {
    let (2, list) = bytes.split_first().map(|(kind, list)| (*kind, list))? else { return None };
    let (Item::List(body), []) = item(list)? else { return None };
    let mut fields = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (field, after) = item(rest)?;
        fields.push(field);
        rest = after;
    }
    let number = |at: usize| match fields.get(at)? {
        Item::Bytes(bytes) => U256::try_from_be_slice(bytes),
        Item::List(_) => None,
    };
    let bytes_of = |at: usize| match fields.get(at)? {
        Item::Bytes(bytes) => Some(*bytes),
        Item::List(_) => None,
    };
    (fields.len() == 12).then_some(())?;
    Some(Raw {
        hash: keccak256(bytes),
        chain_id: number(0)?,
        nonce: number(1)?,
        to: Address::try_from(bytes_of(5)?).ok()?,
        value: number(6)?,
        input: bytes_of(7)?.to_vec(),
    })
}

/// One item of RLP.
enum Item<'a> {
    Bytes(&'a [u8]),
    List(&'a [u8]),
}

/// The first item and what follows it.
fn item(bytes: &[u8]) -> Option<(Item<'_>, &[u8])> {
    let first = *bytes.first()?;
    let (is_list, header, length) = match first {
        0..=0x7f => return Some((Item::Bytes(bytes.get(..1)?), bytes.get(1..)?)),
        0x80..=0xb7 => (false, 1, usize::from(first - 0x80)),
        0xb8..=0xbf => long(bytes, first - 0xb7).map(|(header, length)| (false, header, length))?,
        0xc0..=0xf7 => (true, 1, usize::from(first - 0xc0)),
        0xf8..=0xff => long(bytes, first - 0xf7).map(|(header, length)| (true, header, length))?,
    };
    let end = usize::checked_add(header, length)?;
    let content = bytes.get(header..end)?;
    let item = if is_list { Item::List(content) } else { Item::Bytes(content) };
    Some((item, bytes.get(end..)?))
}

/// Length of the header, and of what follows it.
fn long(bytes: &[u8], digits: u8) -> Option<(usize, usize)> {
    let digits = usize::from(digits);
    let length = U256::try_from_be_slice(bytes.get(1..digits.checked_add(1)?)?)?;
    Some((digits + 1, length.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// chainId 1, nonce 7, to 0x11..., 60 bytes of input.
    #[test]
    fn a_transaction_is_read_and_a_shortened_one_is_not() {
        let mut body = vec![1, 7, 0x80, 0x80, 0x82, 0x52, 0x08, 0x94];
        body.extend([0x11; 20]);
        body.push(0x80);
        body.extend([0xb8, 60]);
        body.extend([9; 60]);
        body.extend([0xc0, 0x80, 5, 6]);
        let mut bytes = vec![2, 0xf8, u8::try_from(body.len()).unwrap()];
        bytes.extend(&body);
        let raw = decode(&bytes).unwrap();
        assert_eq!((raw.chain_id, raw.nonce, raw.value), (U256::from(1), U256::from(7), U256::ZERO));
        assert_eq!((raw.to, raw.input), (Address::repeat_byte(0x11), vec![9; 60]));
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]), None, "{length} bytes");
        }
    }
}
