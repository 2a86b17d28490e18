//! Logs name a provider by its host only, at every level, because API keys are part of paths. A contradiction is logged
//! for the operator.

use crate::common::{Local, connect, transient};
use chain::{Address, Bytes};
use serde_json::json;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use tracing_subscriber::filter::LevelFilter;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn s27_s29_a_lie_is_logged_with_both_hosts_and_no_line_of_any_level_has_the_key_in_the_url() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(move || writer.clone()).init();
    let local = Local::start().await;
    let [one, liar] = local.proxies().await;
    let chain = connect(&[&one, &liar]).await;
    let hash = local.transact(Address::ZERO, Bytes::new()).await;
    liar.change("eth_getTransactionReceipt", |answer| answer["result"]["status"] = json!("0x0"));
    transient(chain.inclusion(hash).await);
    liar.answer(502, None, b"<html>");
    for _ in 0..4 {
        transient(chain.inclusion(hash).await);
    }
    drop(liar);
    transient(chain.inclusion(hash).await);

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lies = text.lines().filter(|line| line.contains("providers contradict each other")).count();
    assert_eq!(lies, 2, "one line for each of the two");
    assert!(text.contains("the provider rests"));
    let shown: Vec<&str> = text.lines().filter(|line| line.contains("s3cret")).collect();
    assert!(shown.is_empty(), "{shown:#?}");
}
