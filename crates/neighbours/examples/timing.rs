use neighbours::*;
use std::time::Instant;
#[tokio::main]
async fn main() {
    let t = Tools::locate().unwrap();
    let d = std::path::PathBuf::from(std::env::args().nth(1).unwrap());
    for durable in [false, true] {
        for i in 0..3 {
            let d = d.join(format!("{durable}{i}"));
            let b = Instant::now();
            let mut n = Nats::start(&t, NatsOptions { data_dir: d.join("n"), ..Default::default() }).await.unwrap();
            let n1 = b.elapsed();
            let b = Instant::now();
            let mut p = Postgres::start(&t, PostgresOptions { data_dir: d.join("p"), durable, ..Default::default() })
                .await
                .unwrap();
            let p1 = b.elapsed();
            let b = Instant::now();
            let mut a = Anvil::start(
                &t,
                AnvilOptions { data_dir: d.join("a"), state_file: Some(d.join("c.json")), ..Default::default() },
            )
            .await
            .unwrap();
            let a1 = b.elapsed();
            let b = Instant::now();
            n.stop().await.unwrap();
            let n2 = b.elapsed();
            let b = Instant::now();
            p.stop().await.unwrap();
            let p2 = b.elapsed();
            let b = Instant::now();
            a.stop().await.unwrap();
            let a2 = b.elapsed();
            let b = Instant::now();
            p.restart().await.unwrap();
            let p3 = b.elapsed();
            let b = Instant::now();
            p.kill();
            p.restart().await.unwrap();
            let p4 = b.elapsed();
            let b = Instant::now();
            drop(p);
            let p5 = b.elapsed();
            println!(
                "durable {durable}: start n {n1:?} p {p1:?} a {a1:?}; stop n {n2:?} p {p2:?} a {a2:?}; p restart {p3:?} kill+restart {p4:?} drop {p5:?}"
            );
        }
    }
}
