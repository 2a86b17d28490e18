//! Faults of a provider. Two are configured for one node. With one wrong, it may decide nothing; with both wrong,
//! nothing may be decided.

use super::until;
use super::words::{CALLS, OF_STATE, Refusal, SENDS};
use crate::blow::NodeFault;
use crate::house::House;
use crate::plan::Step;
use faults::{ANY, Fault, Lie, RpcProxy, Rule};

const SEND: &str = "eth_sendRawTransaction";
const RECEIPT: &str = "eth_getTransactionReceipt";
const LOGS: &str = "eth_getLogs";
const TIP: &str = "eth_maxPriorityFeePerGas";

/// The rules stand for the step's time, and on until one has struck. Answers with how often they did.
pub async fn strike(house: &House, step: &Step, fault: NodeFault) -> u64 {
    let nodes: &[RpcProxy] = match fault {
        // Alone it would be outvoted, or asked again at the other: these are about both.
        NodeFault::F30AnswersLost
        | NodeFault::F32NonceTooLow
        | NodeFault::F43Forgets
        | NodeFault::F45Withholds
        | NodeFault::F61Words => &house.nodes,
        NodeFault::F28Gone | NodeFault::F29Limited | NodeFault::F31Garbled | NodeFault::F62NoState
            if step.roll(3) == 0 =>
        {
            &house.nodes
        }
        // The first is asked what only steers.
        NodeFault::F51Fees => &house.nodes[..1],
        _ if step.roll(2) == 0 => &house.nodes[..1],
        _ => &house.nodes[1..],
    };
    let mut standing = Vec::new();
    for node in nodes {
        for rule in rules(step, fault) {
            standing.push((node, node.set(rule)));
        }
    }
    let hits = || standing.iter().map(|(node, rule)| node.hits(*rule)).sum();
    tokio::time::sleep(step.lasts).await;
    // Logs are searched for what is deferred, and a pool refuses when something is sent twice: not every second.
    if !matches!(fault, NodeFault::F33StrictPool | NodeFault::F49Logs) {
        until(async || hits() > 0).await;
    }
    for (node, rule) in &standing {
        node.lift(*rule);
    }
    match fault {
        // It stands all the time, and refuses where there is a reason.
        NodeFault::F33StrictPool | NodeFault::F49Logs => u64::max(hits(), 1),
        _ => hits(),
    }
}

fn rules(step: &Step, fault: NodeFault) -> Vec<Rule> {
    match fault {
        NodeFault::F28Gone => vec![Rule::on(ANY, Fault::DropRequest)],
        NodeFault::F29Limited => vec![Rule::on(ANY, Fault::Status { code: 429, retry_after_s: Some(1) })],
        NodeFault::F30AnswersLost => vec![Rule::on(SEND, Fault::DropResponse).percent(50)],
        NodeFault::F31Garbled => {
            let kinds = [
                Fault::Html,
                Fault::Truncated,
                Fault::WrongId,
                Fault::Status { code: 503, retry_after_s: None },
                Fault::Oversized(9 * 1024 * 1024),
            ];
            kinds.into_iter().map(|fault| Rule::on(ANY, fault).percent(4)).collect()
        }
        NodeFault::F32NonceTooLow => vec![Rule::on(SEND, Fault::nonce_too_low()).first(3)],
        NodeFault::F33StrictPool => vec![Rule::on(SEND, Fault::StrictPool)],
        NodeFault::F34Behind => vec![Rule::on(ANY, Fault::Behind(2 + step.roll(5)))],
        NodeFault::F35Nulls => vec![Rule::on(RECEIPT, Fault::Null).percent(40)],
        NodeFault::F36Lies => {
            let lies = [Lie::Status, Lie::NoLogs, Lie::BlockHash];
            vec![Rule::on(RECEIPT, Fault::LyingReceipt(lies[usize::try_from(step.roll(3)).unwrap()])).percent(60)]
        }
        // It has to be away for a moment: who comes back is checked before it is used.
        NodeFault::F37OtherChain => {
            vec![Rule::on("eth_chainId", Fault::number("0x1")), Rule::on(ANY, Fault::DropRequest).first(12)]
        }
        NodeFault::F43Forgets => vec![Rule::on(SEND, Fault::Swallow).first(3)],
        NodeFault::F45Withholds => vec![Rule::on(SEND, Fault::Withhold).first(1)],
        NodeFault::F49Logs => {
            vec![Rule::on(LOGS, Fault::LogGap).percent(50), Rule::on(LOGS, Fault::LogRange(10)).percent(50)]
        }
        NodeFault::F51Fees => {
            let fees = ["0x0".to_owned(), format!("0x8{}", "0".repeat(63))];
            vec![Rule::on(TIP, Fault::number(&fees[usize::try_from(step.roll(2)).unwrap()]))]
        }
        NodeFault::F61Words => {
            let client = SENDS[usize::try_from(step.roll(SENDS.len().try_into().unwrap())).unwrap()];
            client.iter().map(|refusal| Rule::on(SEND, refuse(*refusal)).percent(20)).collect()
        }
        NodeFault::F62NoState => {
            let of = |method| CALLS.map(|refusal| Rule::on(method, refuse(refusal)).percent(25));
            OF_STATE.into_iter().flat_map(of).collect()
        }
    }
}

fn refuse((code, message): Refusal) -> Fault {
    Fault::Refuse { code, message: message.to_owned() }
}
