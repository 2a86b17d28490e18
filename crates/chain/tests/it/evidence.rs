//! The evidence about one authorization, at providers that search few blocks, that count requests, and that show deposits.

use crate::common::{Act, Local, Proxy, connect, evidence, paid, transient};
use chain::{B256, Chain, Evidence, Head};
use domain::Authorization;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const LOGS: &str = "eth_getLogs";

/// Requests for logs in one look, at most.
const REQUESTS_MAX: usize = 16;

/// Blocks behind the payment.
const BEHIND: u64 = 200;

pub fn refusal(code: i64, message: &str) -> Act {
    let error = json!({ "jsonrpc": "2.0", "id": "ID", "error": { "code": code, "message": message } });
    Act::Answer(200, None, error.to_string().replace("\"ID\"", "ID").into_bytes())
}

fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

/// Blocks that a request for logs covers.
fn width(params: &Value) -> u64 {
    number(&params[0]["toBlock"]) - number(&params[0]["fromBlock"]) + 1
}

/// The proxy searches at most so many blocks, and refuses more in these words.
fn limit(proxy: &Proxy, blocks: u64, code: i64, message: &'static str) {
    proxy.rule(move |method, params| match method {
        LOGS if width(params) > blocks => refusal(code, message),
        _ => Act::Pass,
    });
}

fn searches(proxy: &Proxy) -> usize {
    proxy.methods().iter().filter(|method| *method == LOGS).count()
}

async fn confirmed(chain: &Chain) -> Head {
    chain.confirmed(chain.head().await.unwrap()).await.unwrap()
}

/// Looks until the evidence is there. Returns the number of looks.
async fn until_found(chain: &Chain, auth: &Authorization, at: Head, proxies: &[&Proxy]) -> (Evidence, usize) {
    for looks in 1..20 {
        let found = evidence(chain, auth, at).await.unwrap();
        for proxy in proxies {
            let asked = searches(proxy);
            assert!(asked <= REQUESTS_MAX, "{asked} requests in look {looks}");
        }
        if found != Evidence::NotFoundYet {
            return (found, looks);
        }
    }
    panic!("not found in twenty looks");
}

#[tokio::test]
async fn an_unused_authorization_is_proven_by_its_state_without_any_search() {
    let local = Local::start().await;
    let only = local.proxy().await;
    let chain = connect(&[&only]).await;
    let auth = paid(&local).await;
    let at = confirmed(&chain).await;
    only.methods();
    let unused = Authorization { nonce: B256::repeat_byte(8), ..auth };
    assert_eq!(evidence(&chain, &unused, at).await.unwrap(), Evidence::Unused);
    assert_eq!(only.methods(), ["eth_call"]);
}

/// The words and codes of Coinbase, of Alchemy's free plan, and of a provider that nobody knows.
#[tokio::test]
async fn a_use_is_found_backwards_in_pages_as_long_as_the_provider_allows() {
    let local = Local::start().await;
    let auth = paid(&local).await;
    local.mine(BEHIND).await;
    let words = [
        (-32_005, "please limit the query to at most 10 blocks"),
        (-32_600, "You can make eth_getLogs requests with up to a 10 block range."),
        (-32_099, "not that much, please"),
    ];
    for (code, message) in words {
        let (narrow, wide) = (local.proxy().await, local.proxy().await);
        let chain = connect(&[&narrow, &wide]).await;
        let at = confirmed(&chain).await;
        limit(&narrow, 10, code, message);
        narrow.methods();
        wide.methods();
        let (found, looks) = until_found(&chain, &auth, at, &[&narrow, &wide]).await;
        assert!(matches!(found, Evidence::Paid { .. }), "{message}: {found:?}");
        assert!((2..=4).contains(&looks), "{message}: {looks} looks");

        // The next look begins where the use was found, with the length that was learned.
        assert_eq!(evidence(&chain, &auth, at).await.unwrap(), found);
        assert_eq!((searches(&narrow), searches(&wide)), (1, 1), "{message}");
        let last = chain.final_head().await.unwrap();
        assert!(last.block.number > 10, "the payment is final");
        assert_eq!(chain.evidence(&auth, last.block, at.block).await.unwrap(), found);
        let early = chain.block_at(1).await.unwrap().unwrap();
        let before = chain.evidence(&auth, early.block, at.block).await.unwrap();
        assert_eq!((before, searches(&narrow)), (Evidence::NotFoundYet, 2), "used above that block");
    }
}

#[tokio::test]
async fn a_quota_makes_no_page_shorter_and_the_search_goes_on_after_it() {
    let local = Local::start().await;
    let auth = paid(&local).await;
    local.mine(BEHIND).await;
    let only = local.proxy().await;
    let chain = connect(&[&only]).await;
    let at = confirmed(&chain).await;
    only.rule(|method, _| match method {
        LOGS => refusal(-32_005, "daily request count exceeded, request rate limited"),
        _ => Act::Pass,
    });
    assert!(transient(evidence(&chain, &auth, at).await).contains("too many requests"));
    assert_eq!(searches(&only), 1, "not divided");
    let widths = Arc::new(Mutex::new(Vec::new()));
    let seen = widths.clone();
    only.rule(move |method, params| {
        if method == LOGS {
            seen.lock().unwrap().push(width(params));
        }
        Act::Pass
    });
    let found = testkit::eventually("it is asked again", async || evidence(&chain, &auth, at).await.ok()).await;
    assert!(matches!(found, Evidence::Paid { .. }), "{found:?}");
    assert_eq!(*widths.lock().unwrap(), [at.block.number + 1], "the whole chain in one page");
}

/// One provider has not indexed the block yet, and answers with nothing.
#[tokio::test]
async fn a_use_that_a_provider_has_missed_is_searched_for_again_from_the_top() {
    let local = Local::start().await;
    let auth = paid(&local).await;
    let only = local.proxy().await;
    let chain = connect(&[&only]).await;
    let at = confirmed(&chain).await;
    only.change(LOGS, |answer| answer["result"] = json!([]));
    assert_eq!(evidence(&chain, &auth, at).await.unwrap(), Evidence::NotFoundYet);
    only.pass();
    assert!(matches!(evidence(&chain, &auth, at).await.unwrap(), Evidence::Paid { .. }));
}

/// Anybody can submit an authorization from the chain below, by a deposit.
#[tokio::test]
async fn a_charge_by_a_deposit_of_the_op_stack_is_found() {
    let local = Local::start().await;
    let auth = paid(&local).await;
    let [one, two] = local.proxies().await;
    let chain = connect(&[&one, &two]).await;
    let at = confirmed(&chain).await;
    for proxy in [&one, &two] {
        proxy.change("eth_getTransactionReceipt", |answer| {
            answer["result"]["type"] = json!("0x7e");
            answer["result"]["depositNonce"] = json!("0x1");
            answer["result"]["depositReceiptVersion"] = json!("0x1");
        });
    }
    for _ in 0..4 {
        let found = evidence(&chain, &auth, at).await.unwrap();
        assert!(matches!(found, Evidence::Paid { .. }), "{found:?}");
    }
}
