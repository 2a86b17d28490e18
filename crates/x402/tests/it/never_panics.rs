//! Twenty thousand damaged headers: none panics, and none that pays pays something else.

use crate::common::{DAY, MARGIN, NOW, header_name, offer_of, text, vectors};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use x402::{HeaderName, decode, one_header, verify};

/// xorshift64: no dependency, the same run every time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }

    /// One to four small changes: flip, insert, delete, repeat, cut, or a character that is special in JSON.
    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                bytes.push(self.byte());
            }
            let at = self.below(bytes.len());
            match self.below(6) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes.insert(at, self.byte()),
                2 => drop(bytes.remove(at)),
                3 => bytes.extend_from_within(at..(at + 40).min(bytes.len())),
                4 if self.below(8) == 0 => bytes.truncate(at),
                _ => bytes[at] = b"{}[]\",:\\0x-e9n=\0\xff"[self.below(17)],
            }
        }
    }
}

#[test]
fn no_mutated_header_panics_or_changes_what_is_paid() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut cases = vectors(include_str!("../../vectors/valid.json")).as_array().unwrap().clone();
    cases.extend(vectors(include_str!("../../vectors/invalid.json")).as_array().unwrap().clone());
    let mut taken = 0;
    for round in 0..20_000 {
        let case = &cases[round % cases.len()];
        let mut value = text(case, "/headerValue").as_bytes().to_vec();
        match (random.below(4), BASE64_STANDARD.decode(&value)) {
            (0, _) | (_, Err(_)) => random.spoil(&mut value),
            (_, Ok(mut json)) => {
                random.spoil(&mut json);
                value = BASE64_STANDARD.encode(json).into_bytes();
            }
        }
        let offer = offer_of(&case["requirements"]);
        let header = header_name(text(case, "/headerName"));
        let result = decode(header, &value).and_then(|p| verify(&p, &offer, NOW, MARGIN, DAY));
        match result {
            Ok(verified) => {
                taken += 1;
                assert_eq!(verified.payer, crate::common::PAYER);
                assert_eq!(verified.authorization.value.0, offer.amount);
                assert_eq!(verified.authorization.to, offer.pay_to);
            }
            Err(refused) => {
                assert!(matches!(refused.http_status(), 400 | 402 | 431));
                assert!(refused.to_string().len() < 200 && !refused.code().is_empty());
            }
        }
    }
    assert!(taken > 0, "harm in unsigned places is harmless");
}

#[test]
fn no_random_bytes_panic() {
    let mut random = Random(88_172_645_463_325_252);
    for _ in 0..20_000 {
        let length = random.below(300);
        let bytes: Vec<u8> = (0..length).map(|_| random.byte()).collect();
        for value in [bytes.clone(), BASE64_STANDARD.encode(&bytes).into_bytes()] {
            assert!(decode(HeaderName::PaymentSignature, &value).is_err());
            assert!(one_header([], [&value[..]]).is_ok());
        }
    }
}
