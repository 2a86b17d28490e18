//! Controls of the auditor. A good run is tampered with, one wrong at a time, and the check for this wrong must find
//! it. An auditor that is never red proves nothing.

mod bench;
mod doctored;
mod load;
mod on_chain;
mod strangers;
mod tamper;
mod trouble;

use auditor::Evidence;
use auditor::evidence::journal::Journal;
use auditor::evidence::logs::LogFile;
use auditor::evidence::stream::Message;
use auditor::evidence::tables::{Row, Tables};
use auditor::run::{Fault, OpenRecords};
use bench::{Bench, green, red};
use doctored::Doctored;
use harness::{DOLLAR, Entry, Order, Service, Stack, StackOptions, journal};
use load::Load;
use serde_json::{Value, json};
use standalone::accounts::{MINTER_KEYS, OWNER};
use std::time::Instant;
use strangers::Touched;

/// Checks that have evidence in this run: all but deployments.
const REQUIRED: &str = "A01,A02,A03,A04,A05,A06,A07,A08,A09,A10,A11,A12,A14,A15,A16,A17";

#[tokio::test(flavor = "multi_thread")]
async fn the_auditor_is_green_on_a_good_run_and_red_on_every_control() {
    let begun = Instant::now();
    // What nobody ordered stays as it is: the controls need an open record.
    let options = StackOptions { confirmations: bench::CONFIRMATIONS, ..StackOptions::default() };
    let options = options.with("RECORD_GAS_PER_DAY", 0);
    let mut stack = Stack::start(options).await;
    let buyers = stack.buyers(7, 10 * DOLLAR).await;
    let genesis =
        journal::genesis(&stack.chain, stack.shop.asset, &buyers.iter().map(|buyer| buyer.address).collect::<Vec<_>>())
            .await;
    let load = load::run(&mut stack, &buyers).await;
    for service in Service::ALL.into_iter().filter(|service| *service != Service::Operator) {
        stack.terminate(service).await;
    }
    let mut bench = Bench::new(&stack, genesis, &load.journal);
    let good = bench.collect().await;
    green(&good);
    let (code, text, is_green) = bench.program(REQUIRED).await;
    assert_eq!((code, is_green), (Some(0), json!(true)), "{text}");
    let (code, text, is_green) = bench.program("A13").await;
    assert_eq!((code, is_green), (Some(1), json!(false)), "what is required has nothing to look at: {text}");
    eprintln!("green after {} s", begun.elapsed().as_secs());

    in_the_tables(&good);
    in_the_journal(&load, &good);
    in_the_stream(&load, &good);
    an_open_record(&good);
    records_of_which_the_ledger_is_silent(&load, &good);
    an_idle_operator(&good);
    in_a_stream_of_its_own(&stack, &mut bench).await;
    on_chain::controls(&stack, &load, &mut bench).await;
    green(&bench.collect().await);
    let (collected, spent) = bench.spent();
    eprintln!("reading {collected} times took {} s of {} s", spent.as_secs(), begun.elapsed().as_secs());
}

/// A record that nobody ordered is noted. Where it is to be minted, it is wrong that nobody did.
fn an_open_record(good: &Evidence) {
    let mut evidence = good.clone();
    evidence.run.bounds.open_records = OpenRecords::Wrong;
    let found = red("an open record that nobody mints", &evidence, "A05", "no order knows of it");
    assert_eq!(found.iter().map(|verdict| verdict.id).collect::<Vec<_>>(), ["A05"]);
}

/// No record is found in this run, because the budget is zero. Where there is one, all of it must be told and counted.
fn records_of_which_the_ledger_is_silent(load: &Load, good: &Evidence) {
    let (key, id) = (load.unordered.key(), load.unordered.id());
    let mut evidence = good.clone();
    evidence.run.bounds.open_records = OpenRecords::Wrong;
    let found = red("a record that nobody found", &evidence, "A05", "and nobody found it");
    assert!(found[0].findings.iter().any(|finding| finding.contains(&key.to_string())), "{found:?}");

    let mut evidence = good.clone();
    let nonce = load.unordered.transfer.authorization.nonce;
    let log = evidence.chain.logs.iter().find(|log| log.topics.contains(&nonce)).unwrap().clone();
    let block = json!({ "number": log.block, "hash": evidence.chain.block(log.block).unwrap().hash });
    let told = json!({
        "paymentKey": key, "token": load.unordered.terms.token, "payer": load.unordered.transfer.authorization.from,
        "quantity": load.unordered.quantity, "txHash": log.tx, "block": block,
    });
    let subject = format!("records.{}.{id}.found", id.shard());
    store(&mut evidence, subject, &id.to_string(), "record.found", &told);
    red("an end that the ledger does not tell", &evidence, "A05", "and the ledger does not say so");

    let mut evidence = good.clone();
    for row in having(&mut evidence.tables, "token_rows", "symbol", "DEMO") {
        row.insert("units_taken".to_owned(), Some("1".to_owned()));
    }
    red("units of records that are not counted", &evidence, "A05", "and the read models count 1 as taken");
}

/// An order that was paid around its token has ended where no operator is at work. Where one is, it is wrong that it
/// waits.
fn an_idle_operator(good: &Evidence) {
    let mut evidence = good.clone();
    evidence.run.bounds.operator = true;
    let found = red("a payment around the token that an operator leaves alone", &evidence, "A15", "has not ended");
    assert_eq!((found.len(), found[0].findings.len()), (1, 1), "{found:?}");
}

/// Changes of the tables: rows that no event made.
fn in_the_tables(good: &Evidence) {
    type Hand = fn(&mut Tables);
    let controls: [(&str, Hand, &str, &str); 8] = [
        (
            "a rebuild that differs",
            |tables| add(1, "units_paid", tables.rebuilt.as_mut().unwrap().get_mut("token_rows").unwrap()),
            "A10",
            "rebuilt token_rows",
        ),
        (
            "an edited row",
            |tables| add(1, "mint_attempts", having(tables, "payment_rows", "stage", "minted")),
            "A10",
            "mint_attempts is",
        ),
        (
            "an order that came back, as if it had not been gone",
            |tables| add(-1, "payment_reversions", having(tables, "payment_rows", "mint_reversions", "1")),
            "A10",
            "payment_reversions is",
        ),
        (
            "a refund that was tried more often",
            |tables| add(1, "refund_attempts", having(tables, "payment_rows", "stage", "refunded")),
            "A10",
            "refund_attempts is",
        ),
        (
            "units that did not come back with the money",
            |tables| add(6, "units_taken", having(tables, "token_rows", "symbol", "RARE")),
            "A10",
            "units_taken is",
        ),
        (
            "a mint transaction that came back to another block",
            |tables| add(1, "block_number", having(tables, "mint_batches", "status", "completed")),
            "A10",
            "block_number is",
        ),
        (
            "two events swapped in the copy",
            |tables| {
                let [one, other] = tables.copy.get_disjoint_mut([19, 20]).unwrap();
                std::mem::swap(&mut one.subject, &mut other.subject);
                std::mem::swap(&mut one.headers, &mut other.headers);
                std::mem::swap(&mut one.payload, &mut other.payload);
            },
            "A09",
            "sequence 20",
        ),
        (
            "a counter that counts wrong",
            |tables| add(1, "units", tables.live.get_mut("stage_totals").unwrap()),
            "A10",
            "units is",
        ),
    ];
    for (control, hand, id, word) in controls {
        let mut evidence = good.clone();
        hand(&mut evidence.tables);
        let found = red(control, &evidence, id, word);
        assert_eq!(found.iter().map(|verdict| verdict.id).collect::<Vec<_>>(), [id], "{control}");
    }
}

/// The rows of a live read model that have `value` in a column.
fn having<'a>(
    tables: &'a mut Tables,
    model: &str,
    column: &'static str,
    value: &'static str,
) -> impl Iterator<Item = &'a mut Row> {
    tables.live.get_mut(model).unwrap().iter_mut().filter(move |row| row[column].as_deref() == Some(value))
}

/// Adds to a number in each of these rows.
fn add<'a>(what: i64, column: &str, rows: impl IntoIterator<Item = &'a mut Row>) {
    let mut changed = 0;
    for value in rows.into_iter().filter_map(|row| row.get_mut(column)?.as_mut()) {
        *value = (value.parse::<i64>().unwrap() + what).to_string();
        changed += 1;
    }
    assert!(changed > 0, "no row has a {column}");
}

/// Changes of the journal: requests that are missing, and answers that were different.
fn in_the_journal(load: &Load, good: &Evidence) {
    let line = |kind: &str| load.journal.0.iter().position(|line| line["kind"] == kind).unwrap();
    let never_sent = load::never_sent(&load.idle.pay(&load.cancelled.terms, 1));
    for (control, id, word) in [
        ("a 202 without an event", "A06", "is not in the ledger"),
        ("an order that nobody sent", "A07", "nobody sent it"),
        ("an order that was sent otherwise", "A06", "is in the ledger as"),
        ("several charges under one key", "A02", "times under the key"),
        ("an event that a client missed", "A14", "missed"),
        ("an end that came late", "A15", "ended after"),
        ("a key in a log", "A16", "has the key of"),
        ("a payment in a log", "A16", "has a payment header"),
        ("files that stayed open", "A16", "open files"),
        ("a fault that never came", "A17", "fired 0 times"),
    ] {
        let (mut evidence, mut journal) = (good.clone(), load.journal.clone());
        let mut log = |text: String| evidence.logs.push(LogFile { name: "control.log".to_owned(), text });
        match control {
            "a 202 without an event" => journal.0.push(never_sent.clone()),
            "an order that nobody sent" => {
                journal.0.remove(line("request"));
            }
            "an order that was sent otherwise" => journal.0[line("request")]["body"] = json!("{\"quantity\":7}"),
            "several charges under one key" => {
                for request in journal.0.iter_mut().filter(|line| line["kind"] == "request") {
                    request["idempotencyKey"] = json!("the same");
                }
            }
            "an event that a client missed" => {
                journal.0[line("sse")]["events"].as_array_mut().unwrap().remove(5);
            }
            "an end that came late" => evidence.run.bounds.terminal_within_s = 0,
            "a key in a log" => log(format!("starting with {}\n", MINTER_KEYS[0])),
            "a payment in a log" => {
                let header = journal.0[line("request")]["payment"]["value"].as_str().unwrap();
                log(format!("refused: {header}\n"));
            }
            "files that stayed open" => {
                let after = journal.0.iter().position(|line| line["phase"] == "after").unwrap();
                journal.0[after]["fds"] = json!(10_000);
            }
            "a fault that never came" => evidence.run.faults = vec![Fault { name: "F40".to_owned(), at_least: 20 }],
            other => unreachable!("{other}"),
        }
        evidence.journal = Journal::parse(&journal.text()).unwrap();
        red(control, &evidence, id, word);
    }
}

/// Changes of the stream that a real ledger would refuse: events added, removed, or swapped.
fn in_the_stream(load: &Load, good: &Evidence) {
    let last = good.stream.last_seq;
    let swapped_at = neighbours(&good.stream.found);
    let cancelled = Order::of(&load.cancelled);
    let Touched { credited, returned, given_back } = &load.touched;
    for (control, id, word) in [
        ("a deleted event", "A09", "sequence 25 is missing in the stream".to_owned()),
        ("two swapped events", "A09", format!("sequence {swapped_at} (")),
        ("an event that is not in the copy", "A09", format!("sequence {} is missing in the copy", last + 1)),
        ("an event of a type that nobody knows", "A11", "unknown event type payment.blessed".to_owned()),
        ("an event after the end", "A11", "payment.confirmed at sequence".to_owned()),
        ("a charge that only the ledger knows", "A02", "has no record of it".to_owned()),
        ("a charge of ours that is said to be somebody else's", "A02", "is our own".to_owned()),
        ("a charge that is said to be of another time", "A02", "the ledger has another time".to_owned()),
        ("a mint that is said to be somebody else's", "A04", "were minted, the ledger has".to_owned()),
        ("a payment that is parked, and was cancelled", "A08", "was cancelled in".to_owned()),
        ("a credit of ours that is said to be a charge of ours", "A02", "charged by our own".to_owned()),
        (
            "a refund that only the ledger knows",
            "A05",
            "refunded, says the ledger, and the record says None".to_owned(),
        ),
        ("a refund of ours that is said to be somebody else's", "A05", "is our own".to_owned()),
        ("a refund that is said to be of another sum", "A05", "the ledger has".to_owned()),
        ("a return that is said to be for somebody else", "A05", "the ledger has".to_owned()),
        ("a refund of what is minted", "A11", "refund.confirmed at sequence".to_owned()),
        ("a mint of what is refunded", "A11", "mint.confirmed at sequence".to_owned()),
        ("a transaction that is said to have other orders in it", "A12", "are not its items".to_owned()),
        ("an operator's transaction that is said to have other orders in it", "A12", "are not its items".to_owned()),
    ] {
        let mut evidence = good.clone();
        match control {
            "a deleted event" => {
                evidence.stream.found.remove(24);
                evidence.stream.messages -= 1;
            }
            "two swapped events" => {
                let at = usize::try_from(swapped_at).unwrap() - 1;
                evidence.stream.found.swap(at, at + 1);
                for (message, seq) in evidence.stream.found[at..at + 2].iter_mut().zip(swapped_at..) {
                    message.seq = seq;
                }
            }
            "an event that is not in the copy" | "an event of a type that nobody knows" => {
                add_event(&mut evidence, &cancelled, "payment.blessed");
            }
            "an event after the end" | "a charge that only the ledger knows" => {
                add_event(&mut evidence, &cancelled, "payment.confirmed");
            }
            "a charge of ours that is said to be somebody else's" => {
                retell(&mut evidence, &load.first.subject("payment.confirmed"), "paidBy", json!("third_party"));
            }
            "a charge that is said to be of another time" => {
                retell(&mut evidence, &load.first.subject("payment.confirmed"), "recordedAt", json!(1));
            }
            "a mint that is said to be somebody else's" => {
                retell(&mut evidence, &load.first.subject("mint.confirmed"), "to", json!(OWNER));
            }
            "a payment that is parked, and was cancelled" => {
                add_event(&mut evidence, &cancelled, "payment.parked.1");
            }
            "a credit of ours that is said to be a charge of ours" => {
                retell(&mut evidence, &credited.subject("payment.confirmed"), "paidBy", json!("paymint"));
            }
            "a refund that only the ledger knows" => add_event(&mut evidence, &cancelled, "refund.confirmed"),
            "a refund of ours that is said to be somebody else's" => {
                retell(&mut evidence, &returned.subject("refund.confirmed"), "refundedBy", json!("third_party"));
            }
            "a refund that is said to be of another sum" => {
                retell(&mut evidence, &returned.subject("refund.confirmed"), "amount", json!("1"));
            }
            "a return that is said to be for somebody else" => {
                retell(&mut evidence, &given_back.subject("refund.confirmed"), "to", json!(OWNER));
            }
            "a refund of what is minted" => add_event(&mut evidence, &load.first, "refund.confirmed"),
            "a mint of what is refunded" => add_event(&mut evidence, returned, "mint.confirmed"),
            "a transaction that is said to have other orders in it" => {
                other_items(&mut evidence, ".signed.", &cancelled);
            }
            "an operator's transaction that is said to have other orders in it" => {
                other_items(&mut evidence, ".operate.signed.", &cancelled);
            }
            other => unreachable!("{other}"),
        }
        red(control, &evidence, id, &word);
    }
}

/// The sequence of the first of two requests of different orders that stand side by side.
fn neighbours(messages: &[Message]) -> u64 {
    let is_request = |message: &Message| message.subject.ends_with(".payment.requested");
    messages.windows(2).find(|pair| pair.iter().all(is_request)).unwrap()[0].seq
}

/// Changes a field in the data of an event.
fn retell(evidence: &mut Evidence, subject: &str, field: &str, value: Value) {
    let message = evidence.stream.found.iter_mut().find(|message| message.subject == subject).unwrap();
    let mut body: Value = serde_json::from_slice(&message.payload).unwrap();
    body["data"][field] = value;
    message.payload = body.to_string().into_bytes();
}

/// Says that the first transaction whose subject contains `of` has this order in it.
fn other_items(evidence: &mut Evidence, of: &str, order: &Order) {
    let signed = |message: &&Message| message.subject.contains(of);
    let subject = evidence.stream.found.iter().find(signed).unwrap().subject.clone();
    retell(evidence, &subject, "items", json!([order.id]));
}

/// Adds an event to an order.
fn add_event(evidence: &mut Evidence, order: &Order, name: &str) {
    let told = json!({ "reason": "paid_around_token" });
    store(evidence, order.subject(name), &order.id.to_string(), name.trim_end_matches(".1"), &told);
}

/// Adds an event with this content.
fn store(evidence: &mut Evidence, subject: String, of: &str, event_type: &str, data: &Value) {
    let body = json!({
        "specversion": "1.0", "id": subject, "type": format!("io.paymint.{event_type}.v1"), "source": "/nobody",
        "subject": of, "datacontenttype": "application/json", "data": data,
    });
    let stream = &mut evidence.stream;
    stream.last_seq += 1;
    stream.messages += 1;
    stream.found.push(Message {
        seq: stream.last_seq,
        subject,
        headers: Some(b"Content-Type: application/cloudevents+json\r\n".to_vec()),
        payload: body.to_string().into_bytes(),
        time: journal::now(),
    });
}

/// A copy of the stream in a second server, which differs by what a copy cannot keep, and by one event that is deleted.
async fn in_a_stream_of_its_own(stack: &Stack, bench: &mut Bench) {
    let entries: Vec<Entry> = stack.stream.all().await;
    let doctored = Doctored::start(stack.dir.path()).await;
    doctored.hold(&entries).await;
    let run = bench.run.clone();
    bench.run["natsUrl"] = json!(doctored.server.url());
    // Its times are those of the copying, which is as late as this machine is slow.
    bench.run["bounds"]["terminalWithinS"] = json!(3_600);
    let found = red("another stream", &bench.collect().await, "A09", "incarnation");
    // Nothing else is wrong with it.
    assert_eq!((found.len(), found[0].findings.len()), (1, 1), "{found:?}");
    doctored.delete(25).await;
    red("a deleted event", &bench.collect().await, "A09", "sequence 25 is missing in the stream");
    bench.run = run;
}
