//! An auditor that never goes red proves nothing: a good run is tampered with, one wrong at a time, and each must be
//! found by the check that is there for it.

mod bench;
mod doctored;
mod load;
mod tamper;
mod trouble;

use bench::Bench;
use doctored::Doctored;
use harness::{Bill, DOLLAR, Entry, Payment, Service, Stack, StackOptions, journal};
use load::Load;
use serde_json::json;
use standalone::accounts::{MINTER_KEYS, MINTERS, OWNER};
use std::time::Instant;
use tamper::Tamper;

#[tokio::test(flavor = "multi_thread")]
async fn the_auditor_is_green_on_a_good_run_and_red_on_every_control() {
    let begun = Instant::now();
    let options = StackOptions { confirmations: bench::CONFIRMATIONS, ..StackOptions::default() };
    let mut stack = Stack::start(options).await;
    let buyers = stack.buyers(6, 10 * DOLLAR).await;
    let genesis = journal::genesis(&stack.chain, stack.shop.asset, &buyers).await;
    let load = load::run(&mut stack, &buyers).await;
    for service in Service::ALL {
        stack.terminate(service).await;
    }
    let mut bench = Bench::new(&stack, genesis, load.journal.clone());
    bench.green().await;
    eprintln!("green after {} s", begun.elapsed().as_secs());

    on_the_chain(&stack, &load, &mut bench).await;
    in_the_tables(&stack, &mut bench).await;
    in_the_journal(&load, &mut bench).await;
    in_the_stream(&stack, &load, &mut bench).await;
    bench.green().await;
    let (audits, spent) = bench.spent();
    eprintln!("{audits} audits took {} s of {} s", spent.as_secs(), begun.elapsed().as_secs());
}

/// What is done to the chain is undone by a snapshot; the services are away.
async fn on_the_chain(stack: &Stack, load: &Load, bench: &mut Bench) {
    let token = &stack.shop.token;
    let idle = &load.idle;
    let elsewhere = idle.sign(Bill { pay_to: OWNER, ..Bill::of(token, 1) });
    let to_self = idle.sign(Bill { pay_to: idle.address, ..Bill::of(token, 1) });
    let unsent = idle.pay(token, 1);
    let [one, other] = [idle.pay(token, 1), idle.pay(token, 1)];
    let key = |payment: &Payment| payment.key().0;
    let nonce = |payment: &Payment| payment.transfer.authorization.nonce;
    for (control, id, word) in [
        ("a mint that nobody paid for", "A01", "no pair pays for it"),
        ("a mint that nobody ordered", "A04", "nobody ordered it"),
        ("one transfer for two nonces", "A01", "without a transfer of its own"),
        ("an authorization cancelled, then minted", "A01", "was cancelled in"),
        ("a payment from the payer to itself", "A01", "paid itself in"),
        ("a nonce paid elsewhere", "A01", "was paid elsewhere"),
        ("a charge that owes nothing", "A05", "no order knows of it"),
        ("money that no payment brought", "A03", "beside what the pairs brought"),
        ("money that left a token", "A03", "what has left"),
        ("money that left a payer without a pair", "A02", "its pairs say that it paid"),
        ("a token with other decimals", "A04", "base units of a unit"),
        ("a relayer's transaction that is not ours", "A12", "sent by somebody else"),
        ("failed, then charged late", "A08", "charged all the same"),
    ] {
        bench.green().await;
        let hand = Tamper { stack, bench };
        let snapshot = hand.remember().await;
        match control {
            "a mint that nobody paid for" | "a mint that nobody ordered" => {
                hand.mint(idle.address, &[key(&unsent)]).await
            }
            "one transfer for two nonces" => {
                hand.one_transfer_for_two(idle.address, [nonce(&one), nonce(&other)], token.unit_price.0).await;
                hand.mint(idle.address, &[key(&one), key(&other)]).await;
            }
            "an authorization cancelled, then minted" => {
                hand.transact(OWNER, token.asset, idle.cancellation(token, nonce(&unsent)).to_vec()).await;
                hand.mint(idle.address, &[key(&unsent)]).await;
            }
            "a payment from the payer to itself" => {
                hand.submit(&to_self).await;
                hand.mint(idle.address, &[key(&to_self)]).await;
            }
            "a nonce paid elsewhere" => {
                hand.submit(&elsewhere).await;
                hand.mint(idle.address, &[key(&elsewhere)]).await;
            }
            "a charge that owes nothing" => hand.submit(&unsent).await,
            "money that no payment brought" => hand.gift(token.token).await,
            "money that left a token" => hand.spend(token.token).await,
            "money that left a payer without a pair" => hand.spend(idle.address).await,
            "a token with other decimals" => hand.other_decimals().await,
            "a relayer's transaction that is not ours" => hand.foreign(MINTERS[1]).await,
            "failed, then charged late" => {
                hand.forget(load.cancelled.transfer.authorization.from, nonce(&load.cancelled)).await;
                hand.submit(&load.cancelled).await;
            }
            other => unreachable!("{other}"),
        }
        bench.red(control, id, word).await;
        Tamper { stack, bench }.undo(snapshot).await;
    }
}

/// Rows that no event made.
async fn in_the_tables(stack: &Stack, bench: &mut Bench) {
    let trigger = |what: &str| format!("ALTER TABLE ledger {what} TRIGGER ledger_is_append_only");
    let swapped = "UPDATE ledger l SET subject = o.subject, headers = o.headers, payload = o.payload \
                   FROM ledger o WHERE (l.seq, o.seq) IN ((20, 21), (21, 20))";
    let edited = "UPDATE payments SET mint_attempts = mint_attempts + 1 WHERE stage = 'minted'";
    let undone = "UPDATE payments SET mint_attempts = mint_attempts - 1 WHERE stage = 'minted'";
    for (control, does, undoes, id, word) in [
        (
            "a rebuild that differs",
            "UPDATE rebuilt.tokens SET units_paid = units_paid + 1",
            "UPDATE rebuilt.tokens SET units_paid = units_paid - 1",
            "A10",
            "rebuilt token_rows",
        ),
        ("an edited row", edited, undone, "A10", "mint_attempts is"),
        (
            "an order that came back, as if it had not been gone",
            "UPDATE payments SET payment_reversions = 0 WHERE mint_reversions = 1",
            "UPDATE payments SET payment_reversions = 1 WHERE mint_reversions = 1",
            "A10",
            "payment_reversions is",
        ),
        (
            "a mint transaction that came back to another block",
            "UPDATE mint_batches SET block_number = block_number + 1 WHERE status = 'completed'",
            "UPDATE mint_batches SET block_number = block_number - 1 WHERE status = 'completed'",
            "A10",
            "block_number is",
        ),
        ("two events swapped in the copy", swapped, swapped, "A09", "sequence 20"),
        (
            "a counter that counts wrong",
            "UPDATE stage_totals SET units = units + 1",
            "UPDATE stage_totals SET units = units - 1",
            "A10",
            "units is",
        ),
    ] {
        bench.green().await;
        for query in [&trigger("DISABLE"), does, &trigger("ENABLE")] {
            sqlx::query(sqlx::AssertSqlSafe(query.to_owned())).execute(&stack.tables).await.unwrap();
        }
        assert_eq!(bench.red(control, id, word).await.red(), [id], "{control}");
        for query in [&trigger("DISABLE"), undoes, &trigger("ENABLE")] {
            sqlx::query(sqlx::AssertSqlSafe(query.to_owned())).execute(&stack.tables).await.unwrap();
        }
    }
}

/// What the load generator did not see, and what it was told otherwise.
async fn in_the_journal(load: &Load, bench: &mut Bench) {
    let (journal, run) = (bench.journal.clone(), bench.run.clone());
    let line = |kind: &str| journal.0.iter().position(|line| line["kind"] == kind).unwrap();
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
        bench.green().await;
        let log = bench.log("control.log");
        match control {
            "a 202 without an event" => bench.journal.0.push(never_sent.clone()),
            "an order that nobody sent" => {
                bench.journal.0.remove(line("request"));
            }
            "an order that was sent otherwise" => bench.journal.0[line("request")]["body"] = json!("{\"quantity\":7}"),
            "several charges under one key" => {
                for request in bench.journal.0.iter_mut().filter(|line| line["kind"] == "request") {
                    request["idempotencyKey"] = json!("the same");
                }
            }
            "an event that a client missed" => {
                bench.journal.0[line("sse")]["events"].as_array_mut().unwrap().remove(5);
            }
            "an end that came late" => bench.run["bounds"]["terminalWithinS"] = json!(0),
            "a key in a log" => std::fs::write(&log, format!("starting with {}\n", MINTER_KEYS[0])).unwrap(),
            "a payment in a log" => {
                let header = journal.0[line("request")]["payment"]["value"].as_str().unwrap();
                std::fs::write(&log, format!("refused: {header}\n")).unwrap();
            }
            "files that stayed open" => {
                let after = journal.0.iter().position(|line| line["phase"] == "after").unwrap();
                bench.journal.0[after]["fds"] = json!(10_000);
            }
            "a fault that never came" => bench.run["faults"] = json!([{ "name": "C07", "atLeast": 20 }]),
            other => unreachable!("{other}"),
        }
        bench.red(control, id, word).await;
        let _ = std::fs::remove_file(&log);
        (bench.journal, bench.run) = (journal.clone(), run.clone());
    }
}

/// A doctored copy of the stream stands in a second server.
async fn in_the_stream(stack: &Stack, load: &Load, bench: &mut Bench) {
    let run = bench.run.clone();
    let entries: Vec<Entry> = stack.stream.all().await;
    let last = entries.len();
    let doctored = Doctored::start(stack.dir.path()).await;
    bench.green().await;
    bench.run["natsUrl"] = json!(doctored.server.url());
    // Its times are those of the copying, which is as late as this machine is slow.
    bench.run["bounds"]["terminalWithinS"] = json!(3_600);
    let (swapped_at, swapped) = doctored::swapped(&entries);
    let id = load.cancelled.id();
    let event = |name: &str| {
        let subject = format!("orders.{}.{id}.mint.{name}", id.shard());
        let body = json!({
            "specversion": "1.0", "id": subject, "type": format!("io.paymint.{name}.v1"), "source": "/nobody",
            "subject": id, "datacontenttype": "application/json", "data": {},
        });
        (subject, body.to_string())
    };
    for (control, id, word) in [
        ("another stream", "A09", "incarnation".to_owned()),
        ("a deleted event", "A09", "sequence 25 is missing in the stream".to_owned()),
        ("two swapped events", "A09", format!("sequence {swapped_at} (")),
        ("an event that is not in the copy", "A09", format!("sequence {} is missing in the copy", last + 1)),
        ("an event of a type that nobody knows", "A11", "unknown event type payment.blessed".to_owned()),
        ("an event after the end", "A11", "payment.confirmed at sequence".to_owned()),
        ("a charge that only the ledger knows", "A02", "no pair did it".to_owned()),
    ] {
        doctored.hold(if control == "two swapped events" { &swapped } else { &entries }).await;
        let add = async |name: &str| {
            let (subject, body) = event(name);
            doctored.add(&subject, "Content-Type: application/cloudevents+json\r\n", body.as_bytes()).await;
        };
        match control {
            "a deleted event" => doctored.delete(25).await,
            "an event that is not in the copy" | "an event of a type that nobody knows" => add("payment.blessed").await,
            "an event after the end" | "a charge that only the ledger knows" => add("payment.confirmed").await,
            _ => {}
        }
        let said = bench.red(control, id, &word).await;
        if control == "another stream" {
            // A faithful copy differs in nothing else: what the other controls find is their own doing.
            assert_eq!((said.red(), said.findings("A09").len()), (vec!["A09"], 1), "{}", said.text);
        }
    }
    bench.run = run;
}
