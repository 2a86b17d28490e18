//! Records that are not final: they have ended, and the end could fall out of the chain, or they are younger than the last
//! final block. Each is judged when the block after which it was read is final. Nothing here is needed after a restart: the
//! bookmark stays behind all of them.

use crate::writing::{Traced, units};
use chain::Address;
use domain::{BlockRef, PaymentKey};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Records of one token, above which its search waits. Those that the ledger knows are bounded by the budget, too.
const OF_TOKEN_MAX: usize = 1_000;

/// The records, by token.
#[derive(Debug, Default)]
pub struct EarlyRecords(BTreeMap<Address, BTreeMap<PaymentKey, EarlyRecord>>);

/// A record that is not final.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EarlyRecord {
    pub traced: Traced,
    /// The block after which it was read.
    at: BlockRef,
    /// The ledger knows it, so its end costs nothing.
    pub is_known: bool,
}

impl EarlyRecords {
    /// Adds a record as it was read after the block `at`.
    pub fn put(&mut self, traced: Traced, at: BlockRef, is_known: bool) {
        let of_token = self.0.entry(traced.0.token).or_default();
        of_token.insert(traced.0.key, EarlyRecord { traced, at, is_known });
    }

    /// Removes records.
    pub fn remove(&mut self, records: &[Traced]) {
        for (trace, _) in records {
            if let Some(of_token) = self.0.get_mut(&trace.token) {
                of_token.remove(&trace.key);
            }
        }
        self.0.retain(|_, of_token| !of_token.is_empty());
    }

    /// Returns whether there is room for more of this token.
    pub fn has_room(&self, token: Address) -> bool {
        self.0.get(&token).is_none_or(|of_token| of_token.len() < OF_TOKEN_MAX)
    }

    /// Returns whether the same state of this record is kept.
    pub fn has(&self, (trace, record): &Traced) -> bool {
        let early = self.0.get(&trace.token).and_then(|of_token| of_token.get(&trace.key));
        early.is_some_and(|early| early.traced.1 == *record)
    }

    /// The records that were read after the block of height `last` or an earlier one, by that block and by token. Those that
    /// the ledger knows come first, and the largest of the others.
    pub fn ripe(&self, last: u64) -> BTreeMap<BlockRef, BTreeMap<Address, Vec<EarlyRecord>>> {
        let mut ripe: BTreeMap<BlockRef, BTreeMap<Address, Vec<EarlyRecord>>> = BTreeMap::new();
        let all = self.0.iter().flat_map(|(token, of_token)| of_token.values().map(|early| (*token, *early)));
        for (token, early) in all.filter(|(_, early)| early.at.number <= last) {
            ripe.entry(early.at).or_default().entry(token).or_default().push(early);
        }
        for of_token in ripe.values_mut().flat_map(BTreeMap::values_mut) {
            of_token.sort_by_key(|early| Reverse((early.is_known, units(early.traced.1))));
        }
        ripe
    }

    /// The blocks that made the records.
    pub fn blocks(&self) -> impl Iterator<Item = u64> {
        self.0.values().flat_map(BTreeMap::values).map(|early| early.traced.0.block.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chain::B256;
    use chain::token::{PaymentRecord, Record, RecordTrace};
    use domain::examples;

    fn block(number: u64) -> BlockRef {
        BlockRef { number, hash: B256::repeat_byte(1) }
    }

    fn traced(n: u8, token: u8) -> Traced {
        let (token, key) = (Address::repeat_byte(token), PaymentKey(B256::repeat_byte(n)));
        let trace = RecordTrace { token, key, tx_hash: B256::ZERO, block: block(7) };
        (trace, Record::Minted(PaymentRecord { payer: examples::PAYER, units: n.into(), paid_at: 1 }))
    }

    #[test]
    fn a_record_is_ripe_once_the_block_after_which_it_was_read_is_final() {
        let (mut early, [one, other]) = (EarlyRecords::default(), [1, 2].map(Address::repeat_byte));
        for (n, token, at, is_known) in
            [(1, 1, 50, false), (2, 1, 50, false), (3, 1, 50, true), (4, 2, 50, false), (5, 1, 51, true)]
        {
            early.put(traced(n, token), block(at), is_known);
        }
        assert!(early.ripe(49).is_empty());
        let ripe = early.ripe(50);
        let of = |token: Address| ripe[&block(50)][&token].iter().map(|early| early.traced).collect::<Vec<_>>();
        assert_eq!(ripe.len(), 1);
        assert_eq!(of(one), [traced(3, 1), traced(2, 1), traced(1, 1)], "what costs nothing, then the largest");
        assert_eq!(of(other), [traced(4, 2)]);
        early.remove(&[traced(5, 1)]);
        assert_eq!(early.ripe(99).len(), 1);
    }

    #[test]
    fn a_record_that_is_read_again_is_another_if_it_says_something_else() {
        let mut early = EarlyRecords::default();
        let (trace, minted) = traced(1, 1);
        let refunded = minted.recorded().map_or(minted, Record::Refunded);
        early.put((trace, minted), block(50), false);
        assert_eq!([minted, refunded].map(|record| early.has(&(trace, record))), [true, false]);
        early.put((trace, refunded), block(60), false);
        assert_eq!((early.ripe(59).len(), early.ripe(60).len()), (0, 1));
    }

    #[test]
    fn a_token_with_many_of_them_waits_and_the_others_do_not() {
        let (mut early, [one, other]) = (EarlyRecords::default(), [1, 2].map(Address::repeat_byte));
        for n in 0..OF_TOKEN_MAX {
            assert!(early.has_room(one));
            let (trace, record) = traced(1, 1);
            let key = PaymentKey(chain::U256::from(n).into());
            early.put((RecordTrace { key, ..trace }, record), block(50), false);
        }
        assert_eq!([early.has_room(one), early.has_room(other)], [false, true]);
        assert_eq!(early.blocks().min(), Some(7));
    }
}
