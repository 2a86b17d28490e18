//! Transactions that lanes have signed (A12), by what their bytes say.

use super::verdict;
use crate::world::{LANE, Pay, TOKEN, World, credit_input, give_back_input, refund_input};
use uuid::Uuid;

/// Findings about a transaction that a lane of this purpose has signed for these orders.
fn signed(purpose: &str, input: &[u8], items: &[Uuid]) -> String {
    let mut world = World::new();
    world.sign(purpose, input, items);
    let findings = verdict(&world, "A12").findings;
    let of_bytes = findings.into_iter().filter(|finding| finding.contains(".signed.0"));
    of_bytes.collect::<Vec<_>>().concat()
}

#[test]
fn a12_what_an_operator_signs_is_of_its_orders_and_of_its_purpose() {
    let [one, other] = [Pay::new(1, 2), Pay::new(2, 2)];
    for (input, deed) in
        [(credit_input(&one, 2), "Credit"), (give_back_input(&one), "GiveBack"), (refund_input(&one), "Refund")]
    {
        assert_eq!(signed("operate", &input, &[one.id()]), "", "{deed}");
        for items in [vec![], vec![other.id()], vec![one.id(), other.id()]] {
            let found = signed("operate", &input, &items);
            assert!(found.contains("the orders in its call data are not its items"), "{deed}: {found}");
        }
        for purpose in ["settle", "mint"] {
            let found = signed(purpose, &input, &[one.id()]);
            assert!(found.contains(&format!("a lane to {purpose} signs Some({deed})")), "{deed}: {found}");
        }
    }
    let mut world = World::new();
    world.mint(LANE, std::slice::from_ref(&one));
    let mint = world.evidence.chain.txs.pop().unwrap();
    assert_eq!((mint.to, signed("mint", &mint.input, &[one.id()]).as_str()), (Some(TOKEN), ""));
    assert!(signed("operate", &mint.input, &[one.id()]).contains("a lane to operate signs Some(Mint)"));
}

#[test]
fn a12_behind_the_orders_of_a_mint_there_are_only_records_that_were_found_before() {
    let [one, other] = [Pay::new(1, 2), Pay::new(2, 2)];
    let mut world = World::new();
    let settled = world.settle(LANE, &[one.clone(), other.clone()]);
    world.mint(LANE, &[one.clone(), other.clone()]);
    let input = world.evidence.chain.txs.pop().unwrap().input;
    let of_bytes = |world: &World| {
        let findings = verdict(world, "A12").findings;
        findings.into_iter().filter(|finding| finding.contains("are not its items")).count()
    };
    let mut late = world.clone();
    late.sign("mint", &input, &[one.id()]);
    late.tell_found(&other, settled);
    world.tell_found(&other, settled);
    let mut swapped = world.clone();
    swapped.sign("mint", &input, &[other.id()]);
    world.sign("mint", &input, &[one.id()]);
    assert_eq!([of_bytes(&world), of_bytes(&swapped), of_bytes(&late)], [0, 1, 1]);
}
