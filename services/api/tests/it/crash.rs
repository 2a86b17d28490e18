//! SIGKILL before, during and after the append of an order: a client that asks again gets the same 202, and there is one
//! order.
//! Only with `--features failpoints`.

use crate::common::{Site, pay};
use runtime::failpoint::{ORDER_APPEND_NOT_ANSWERED, ORDER_APPENDED_NOT_ACCEPTED, ORDER_CHECKED_NOT_APPENDED};
use std::process::{Child, Command, Stdio};
use testkit::until;

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn process(site: &Site, addr: &str, kill_at: &str) -> Killed {
    let (url, monitor_url) = (site.broker.nats.url(), site.broker.nats.monitor_url());
    let child = Command::new(env!("CARGO_BIN_EXE_api"))
        .env_clear()
        .envs([("API_ADDR", addr), ("NATS_URL", &url), ("NATS_MONITOR_URL", &monitor_url)])
        .envs([("DATABASE_URL", crate::common::NO_DATABASE), ("CHAIN_ID", "84532"), ("ASSET_NAME", "USDC")])
        .envs([("ASSET_VERSION", "2"), ("ASSET_ADDRESS", "0x036CbD53842c5426634e7929541eC2318f3dCF7e")])
        .env("PAYMINT_KILL_AT", kill_at)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Killed(child)
}

#[tokio::test(flavor = "multi_thread")]
async fn c01_c02_c03_a_crash_at_any_of_them_is_one_order_with_the_same_id() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let offer = api.mint(10, &[]).await.offer();
    for (nonce, point) in
        [(1, ORDER_CHECKED_NOT_APPENDED), (2, ORDER_APPEND_NOT_ANSWERED), (3, ORDER_APPENDED_NOT_ACCEPTED)]
    {
        let before = site.last_sequence().await;
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (addr, url) = (port.to_string(), format!("http://{port}"));
        let mut doomed = process(&site, &addr, point.name());
        let ready = async || match site.http.get(format!("{url}/readyz")).send().await {
            Ok(response) => response.status() == 200,
            Err(_) => false,
        };
        until("the process is ready", ready).await;
        let header = pay(&offer, nonce, |_| {});
        let request =
            site.http.post(format!("{url}{}", crate::common::mint_path())).header("payment-signature", &header);
        assert!(request.body(r#"{"quantity":10}"#).send().await.is_err(), "{point}: no answer");
        let ended = doomed.0.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9), "{point}");
        if point == ORDER_CHECKED_NOT_APPENDED {
            assert_eq!(site.last_sequence().await, before, "nothing is stored");
        }

        let _restarted = process(&site, &addr, "");
        until("the process is back", ready).await;
        let mut ids = Vec::new();
        for _ in 0..2 {
            let request =
                site.http.post(format!("{url}{}", crate::common::mint_path())).header("payment-signature", &header);
            let answer = crate::common::Answer::of(request.body(r#"{"quantity":10}"#).send().await.unwrap()).await;
            assert_eq!(answer.status, 202, "{point}: {answer:?}");
            ids.push(answer.id());
        }
        assert_eq!(ids[0], ids[1]);
        assert_eq!(site.last_sequence().await, before + 1, "{point}: one order");
    }
}
