//! Outcomes of the mints in a mint transaction.

use crate::desk::{Desk, ItemVerdict, Mined};
use chain::MintResult;
use chrono::Utc;
use domain::event::{Deferral, Minted, ParkReason, Parked, WaitReason};
use domain::order::Command;
use domain::{Order, Purchase};
use ledger::{Impossible, Loaded};
use runtime::Undone;

/// If the contract skips a mint as unpaid, and the mint was deferred this often before, it is parked for an operator.
const TRIES_MAX: u32 = 5;

/// If a mint reverts in a transaction of its own, and was deferred this often before, it is parked for an operator.
const TRIES_ALONE_MAX: u32 = 1;

/// One verdict for each item that this transaction decides.
pub(crate) async fn verdicts(desk: &Desk, mined: &Mined<'_>) -> Result<Vec<ItemVerdict>, Undone> {
    let orders = desk.orders(mined.tx).await?;
    let results = mined.included.mint_results(mined.tx.target, orders.len());
    let mut verdicts = Vec::with_capacity(orders.len());
    for (index, (id, loaded)) in orders.into_iter().enumerate() {
        let result = results.as_ref().and_then(|results| results.get(index)).copied();
        let command = match &loaded {
            Ok(Loaded { state: Some(order), .. }) => command(desk, mined, order, result).await?,
            // The decider refuses this command, and the refusal shows the operator what is wrong.
            Ok(Loaded { state: None, .. }) | Err(Impossible { .. }) => Some(Command::ParkMint(Parked {
                reason: ParkReason::Inconsistent,
                detail: format!("in {}", mined.tx.tx_hash),
            })),
        };
        verdicts.extend(command.map(|command| ItemVerdict { id, order: loaded, command }));
    }
    Ok(verdicts)
}

async fn command(
    desk: &Desk,
    mined: &Mined<'_>,
    order: &Order,
    result: Option<MintResult>,
) -> Result<Option<Command>, Undone> {
    let Purchase::Mint { token, quantity, .. } = order.request.purchase;
    let minted = |tx_hash, block| Command::ConfirmMint(Minted { tx_hash, block, to: order.request.payer(), quantity });
    if result == Some(MintResult::Minted) {
        return Ok(Some(minted(mined.tx.tx_hash, mined.included.block)));
    }
    // The other results say why the mint was skipped here. That matters only while the order waits for this very nonce.
    if !order.mint.submission().is_some_and(|to| to.is_for(mined.lane.signer, mined.tx.nonce)) {
        return Ok(None);
    }
    let park = |reason, detail: &str| Some(Command::ParkMint(Parked { reason, detail: detail.to_owned() }));
    Ok(match result {
        Some(MintResult::Minted) => None,
        Some(MintResult::AlreadyMinted) => match desk.chain.find_mint(token, order.request.payment_key).await? {
            Some((tx_hash, block)) => Some(minted(tx_hash, block)),
            None => park(ParkReason::MintedElsewhere, "the contract says minted, but no transaction is found"),
        },
        Some(MintResult::AlreadyRefunded) => park(ParkReason::AlreadyRefunded, "the contract says refunded"),
        Some(MintResult::OverCap) => park(ParkReason::OverCap, "the token's cap is reached"),
        Some(MintResult::BadRecipient) => park(ParkReason::BadRecipient, "the token refuses the recipient"),
        Some(MintResult::Refused(code)) => park(ParkReason::Unexplained, &format!("the contract answers {code}")),
        Some(MintResult::Unpaid) => again(desk, mined, order, WaitReason::Unpaid, TRIES_MAX),
        // The transaction reverted as a whole. The next try has half of its items. An item that reverts alone is itself
        // the cause.
        None if mined.tx.items.len() > 1 => again(desk, mined, order, WaitReason::NotAttempted, u32::MAX),
        None => again(desk, mined, order, WaitReason::NotAttempted, TRIES_ALONE_MAX),
    })
}

fn again(desk: &Desk, mined: &Mined<'_>, order: &Order, reason: WaitReason, tries_max: u32) -> Option<Command> {
    let detail = format!("skipped by {} in block {}", mined.tx.tx_hash, mined.included.block.number);
    if order.mint.counts().deferred >= tries_max {
        return Some(Command::ParkMint(Parked { reason: ParkReason::Unexplained, detail }));
    }
    Some(Command::DeferMint(Deferral { reason, detail, retry_at: Utc::now() + desk.retry() }))
}
