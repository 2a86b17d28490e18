#![allow(clippy::unwrap_used)]
mod common;
use common::*;
use domain::*;
use futures_util::StreamExt;
use std::time::{Duration, Instant};

fn rss(pid: u32) -> u64 {
    let s = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    s.lines().find(|l| l.starts_with("VmRSS")).unwrap().split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak() {
    let mut house = House::start().await;
    let pid = house.nats.pid().unwrap();
    let ops = house.ledger("ops").await;
    let proj = house.ledger("read-projector").await;
    let send = house.ledger("payment-sender").await;
    let ev = examples::all().into_iter().find(|e| name(e) == "payment.submitted").unwrap();
    let mk = |n: u64| match &ev { Event::Order(_, OrderEvent::PaymentSubmitted(_, s)) => {
        let mut b = [0u8; 32]; b[..8].copy_from_slice(&n.to_be_bytes());
        Event::Order(PaymentId::of(PaymentKey(b.into())), OrderEvent::PaymentSubmitted(1, s.clone())) }, _ => unreachable!() };
    let mut n = 0;
    for (who, l) in [("ops", &ops), ("sender", &send), ("ops", &ops), ("sender", &send)] {
        let t = Instant::now();
        for _ in 0..40 { let b: Vec<_> = (0..500).map(|_| { n += 1; new(mk(n)) }).collect(); l.append(&b).await.unwrap(); }
        println!("{who} 20000 in batches of 500: {:?}", t.elapsed());
        let mut lat = vec![];
        for _ in 0..300 { n += 1; let t = Instant::now(); l.append(&[new(mk(n))]).await.unwrap(); lat.push(t.elapsed()); }
        lat.sort(); println!("{who} single p50 {:?} p99 {:?}", lat[150], lat[297]);
    }
    for (who, l) in [("ops", &ops), ("projector", &proj), ("ops", &ops), ("projector", &proj)] {
        let t = Instant::now();
        let c = l.read_from(1).await.unwrap().take(n as usize).fold(0u64, |a, r| { r.unwrap(); async move { a + 1 } }).await;
        println!("{who} read {c} in {:?}", t.elapsed());
    }

    let client = house.thief("ops").await.0;
    let js = async_nats::jetstream::new(client);
    let st = js.get_stream_no_info("LEDGER").await.unwrap();
    for _ in 0..2 {
        let t = Instant::now();
        let c = st.create_consumer(async_nats::jetstream::consumer::pull::OrderedConfig { filter_subjects: vec![">".into()], ..Default::default() }).await.unwrap();
        let m = c.messages().await.unwrap();
        let k = m.take(n as usize).fold(0u64, |a, r| { let m = r.unwrap(); let ok = ledger::decode(&m.subject, m.headers.as_ref().and_then(|h| h.get("Content-Type")).map(|v| v.as_str()), &m.payload).is_ok(); async move { a + u64::from(ok) } }).await;
        println!("ordered {k} in {:?}", t.elapsed());
    }
    let mut idle = proj.follow(vec!["tokens.>".into()], true).await.unwrap();
    let cpu = |pid: u32| { let s = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap(); let f: Vec<_> = s.rsplit(')').next().unwrap().split_whitespace().map(str::to_owned).collect(); f[11].parse::<u64>().unwrap() + f[12].parse::<u64>().unwrap() };
    let (a, b) = (cpu(pid), cpu(std::process::id()));
    let _ = tokio::time::timeout(Duration::from_secs(10), idle.next()).await;
    println!("idle follow 10 s: server {} ticks, client {} ticks of 10 ms", cpu(pid) - a, cpu(std::process::id()) - b);
}
