//! The queue's reads: open orders, a payer's list, totals, batches.

use crate::common::{at, begin, history, minted_order, order, recorded, registered, request};
use alloy_primitives::{Address, B256};
use chrono::Utc;
use domain::event::{OpenTx, OrderEvent, Purpose, Reversal, Settled, SignerEvent};
use domain::{Event, PaymentId, PaymentKey, PaymentRequest, Recorded, Stage, examples};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use std::collections::{BTreeMap, BTreeSet};
use store::{
    BatchStatus, CONNECTIONS, PaymentView, READ_MODELS, StageTotal, Stamp, Standing, Store, StoreError, project,
};
use testkit::Database;

/// 60 orders, each stopped at another step, interleaved.
fn half_done() -> Vec<Recorded> {
    let lines: Vec<Vec<Event>> = (0..60_usize)
        .map(|n| {
            let (id, mut events) = minted_order(u8::try_from(n).unwrap());
            match n % 7 {
                6 => events.truncate(1),
                5 => events = vec![events[0].clone(), order(id, OrderEvent::PaymentFailed(examples::failure()))],
                steps => events.truncate(steps + 1),
            }
            events
        })
        .collect();
    let mut all = vec![registered()];
    for step in 0..5 {
        all.extend(lines.iter().filter_map(|line| line.get(step).cloned()));
    }
    history(1, all)
}

#[tokio::test]
async fn open_orders_are_those_of_the_position_beside_them() {
    let database = Database::start().await;
    assert!(matches!(database.store.standing().await, Err(StoreError::NotBegun)));
    let start = begin(&database.store).await;
    let story = half_done();
    let writer = Store::connect(&database.server.url(), CONNECTIONS).await.unwrap();
    let projector = tokio::spawn({
        let story = story.clone();
        async move {
            let mut position = start;
            for batch in story.chunks(3) {
                position = writer.apply(batch, &position).await.unwrap().position;
            }
        }
    });
    let mut looks = 0;
    while !projector.is_finished() || looks == 0 {
        let Standing { position, open, units_taken, .. } = database.store.standing().await.unwrap();
        let read = &story[..usize::try_from(position.seq).unwrap()];
        let expected = folded(read);
        let found: Vec<_> = open.iter().map(|o| (o.requested_seq, o.id, o.stage, o.paid_seq)).collect();
        assert_eq!(found, expected, "at sequence {}", position.seq);
        assert!(open.iter().all(|o| (o.payer, o.token) == (examples::PAYER, examples::TOKEN)));
        assert!(open.iter().all(|o| o.quantity.get() == 10 && !o.goes_back));
        let taking = rows(read).into_values().filter(|row| row.stage != Stage::Failed).count();
        let taken = if read.is_empty() { None } else { Some(10 * u64::try_from(taking).unwrap()) };
        assert_eq!(units_taken.get(&examples::TOKEN).copied(), taken, "at sequence {}", position.seq);
        looks += 1;
    }
    projector.await.unwrap();
    let Standing { position, open, .. } = database.store.standing().await.unwrap();
    assert_eq!(database.store.position(READ_MODELS).await.unwrap(), Some(position));
    assert_eq!((position.seq, open.len()), (u64::try_from(story.len()).unwrap(), 44));
}

/// The rows after these events.
fn rows(story: &[Recorded]) -> BTreeMap<PaymentId, PaymentView> {
    let mut rows = BTreeMap::new();
    for recorded in story {
        if let Ok(Event::Order(id, event)) = &recorded.event {
            let at = Stamp { seq: recorded.seq, recorded_at: recorded.recorded_at };
            let row = project(rows.get(id), *id, event, at).unwrap();
            rows.insert(*id, row);
        }
    }
    rows
}

/// Open orders after these events, by the sequence of the request.
fn folded(story: &[Recorded]) -> Vec<(u64, PaymentId, Stage, Option<u64>)> {
    let open =
        rows(story).into_values().filter(|row| !matches!(row.stage, Stage::Failed | Stage::Minted | Stage::Refunded));
    let mut open: Vec<_> = open.map(|row| (row.requested_seq, row.id, row.stage, row.paid_seq)).collect();
    open.sort_unstable_by_key(|row| row.0);
    open
}

/// The `n`th order of payer `who`, at its request.
fn requested(who: Address, n: u16) -> Event {
    let mut request = examples::request().into_fields();
    let authorization = &mut request.authorization;
    authorization.from = who;
    authorization.nonce = B256::left_padding_from(&n.to_be_bytes());
    request.payment_key = PaymentKey::new(request.chain_id, request.asset, who, request.authorization.nonce);
    order(request.id(), OrderEvent::PaymentRequested(Box::new(PaymentRequest::new(request).unwrap())))
}

#[tokio::test]
async fn a_payers_list_has_no_gap_and_no_duplicate_while_orders_come_in() {
    let database = Database::start().await;
    let mut position = begin(&database.store).await;
    let (payer, other) = (examples::PAYER, examples::SIGNER);
    // Every third order is somebody else's.
    let who = |n: u16| if n.is_multiple_of(3) { other } else { payer };
    let first = history(1, (1..=375).map(|n| requested(who(n), n)));
    position = database.store.apply(&first, &position).await.unwrap().position;

    let (mut seen, mut before, mut added) = (Vec::new(), None, 375_u16);
    loop {
        let page = database.store.payments_of(payer, before, 40).await.unwrap();
        seen.extend(page.iter().map(|row| row.requested_seq));
        if page.len() < 40 {
            break;
        }
        before = seen.last().copied();
        // Between two pages ten orders come in, and the oldest of all goes on.
        let mut news: Vec<_> = (added + 1..=added + 10).map(|n| requested(who(n), n)).collect();
        added += 10;
        let Event::Order(id, _) = requested(payer, 1) else { unreachable!() };
        if added == 385 {
            news.push(order(id, OrderEvent::PaymentSubmitted(1, examples::submission(7))));
        }
        position = database.store.apply(&history(position.seq + 1, news), &position).await.unwrap().position;
    }
    let expected: Vec<u64> = (1..=375_u64).rev().filter(|seq| !seq.is_multiple_of(3)).collect();
    assert_eq!((expected.len(), &seen), (250, &expected));
    let newest = database.store.payments_of(payer, None, 1).await.unwrap();
    assert!(newest[0].requested_seq > 375, "what came in meanwhile is on the first page");
    assert_eq!(newest[0], database.store.payment(newest[0].id).await.unwrap().unwrap());
    assert_eq!(database.store.payments_of(examples::TOKEN, None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn counts_equal_a_fold_of_the_events() {
    let database = Database::start().await;
    assert!(matches!(database.store.overview().await, Err(StoreError::NotBegun)));
    let mut position = begin(&database.store).await;
    let mut story = half_done();
    for n in 1..=5 {
        let seq = u64::try_from(story.len()).unwrap() + 1;
        story.push(recorded(seq, requested(Address::repeat_byte(n), n.into())));
    }
    // Impossible: set aside, and counted nowhere.
    let seq = u64::try_from(story.len()).unwrap() + 1;
    story.push(recorded(seq, order(request(6).id(), OrderEvent::MintConfirmed(examples::minted()))));
    for batch in story.chunks(7) {
        position = database.store.apply(batch, &position).await.unwrap().position;
    }
    let overview = database.store.overview().await.unwrap();
    story.pop();
    let rows = rows(&story);

    let mut stages: BTreeMap<_, _> = Stage::ALL.map(|stage| (stage, StageTotal::default())).into();
    for row in rows.values() {
        let total = stages.get_mut(&row.stage).unwrap();
        total.orders += 1;
        total.units += u128::from(row.quantity.get());
        total.value += u128::from(row.value.0);
    }
    assert_eq!((overview.seq, overview.stages), (position.seq, stages));
    let waiting = |stages: &[Stage]| {
        let rows: Vec<_> = rows.values().filter(|row| stages.contains(&row.stage)).collect();
        let payers: BTreeSet<_> = rows.iter().map(|row| row.payer).collect();
        (u64::try_from(payers.len()).unwrap(), rows.iter().map(|row| row.requested_at).min())
    };
    use Stage::{Deferred, MintDeferred, Paid, Requested, Settling};
    assert_eq!((overview.unpaid.payers, overview.unpaid.oldest), waiting(&[Requested, Deferred, Settling]));
    let unminted = waiting(&[Requested, Deferred, Settling, Paid, MintDeferred]);
    assert_eq!((overview.unminted.payers, overview.unminted.oldest), unminted);
    assert_eq!((overview.payers, overview.unpaid.payers), (6, 6));
}

#[tokio::test]
async fn rates_are_those_of_the_last_minutes() {
    let database = Database::start().await;
    let start = begin(&database.store).await;
    let quiet = database.store.overview().await.unwrap();
    assert_eq!((quiet.minute, quiet.five_minutes), Default::default());

    // Twelve orders of ten units minutes ago, and three whose mints were confirmed just now.
    let (long_ago, lately, now) = (600, 150, 0);
    let mut story = Vec::new();
    for n in 0..15 {
        for (step, event) in minted_order(n).1.into_iter().enumerate() {
            let age = match (n, step) {
                (0..12, 0) => long_ago,
                (0..12, _) | (_, 0..4) => lately,
                _ => now,
            };
            let mut aged = recorded(u64::try_from(story.len()).unwrap() + 1, event);
            aged.message.recorded_at = Utc::now() - chrono::Duration::seconds(age);
            story.push(aged);
        }
    }
    database.store.apply(&story, &start).await.unwrap();
    let overview = database.store.overview().await.unwrap();
    let (minute, five) = (overview.minute, overview.five_minutes);
    assert_eq!((minute.requested, minute.paid), (0.0, 0.0));
    // Divided by 60 to 70 s, and by 300 to 310 s.
    let within = |rate: f64, count: f64, seconds: f64| {
        rate <= count / seconds + 0.001 && rate >= count / (seconds + 10.0) - 0.001
    };
    assert!(within(minute.minted, 3.0, 60.0) && within(minute.units_minted, 30.0, 60.0), "{minute:?}");
    assert!(within(five.requested, 3.0, 300.0) && within(five.paid, 15.0, 300.0), "{five:?}");
    assert!(within(five.minted, 15.0, 300.0) && within(five.units_minted, 150.0, 300.0), "{five:?}");
}

fn signed(purpose: Purpose, nonce: u64, items: u8) -> Event {
    let items = (0..items).map(|n| request(n).id()).collect();
    let tx = OpenTx { purpose, target: examples::TOKEN, items, ..examples::open_tx(nonce) };
    Event::Signer(examples::LANE, SignerEvent::Signed(tx))
}

fn settled(nonce: u64, change: impl FnOnce(&mut Settled)) -> Event {
    let mut settled = examples::settled(nonce);
    change(&mut settled);
    Event::Signer(examples::LANE, SignerEvent::Settled(settled))
}

#[tokio::test]
async fn a_mint_transaction_is_shown_from_its_signature_to_its_block() {
    let database = Database::start().await;
    let start = begin(&database.store).await;
    let mut events: Vec<_> = (1..=9).map(|nonce| signed(Purpose::Mint, nonce, 3)).collect();
    events.push(signed(Purpose::Settle, 10, 2));
    events.extend([signed(Purpose::Mint, 11, 2), signed(Purpose::Mint, 12, 1), signed(Purpose::Mint, 13, 4)]);
    events.extend([
        settled(10, |_| {}),
        settled(11, |settled| settled.block.number = u64::MAX),
        settled(12, |settled| settled.succeeded = false),
        settled(9, |settled| settled.tx_hash = B256::repeat_byte(9)),
        Event::Signer(examples::LANE, SignerEvent::Lost(examples::lost(8))),
    ]);
    let story = history(1, events);
    let middle = database.store.apply(&story[..15], &start).await.unwrap();
    database.store.apply(&story[15..], &middle.position).await.unwrap();

    let batches = database.store.overview().await.unwrap().batches;
    let found: Vec<_> =
        batches.iter().map(|b| (b.signed_seq, b.mint_count, b.status, b.block_number)).take(5).collect();
    use BatchStatus::{Completed, Failed, Processing};
    let expected = [
        (13, 4, Processing, None),
        (12, 1, Failed, Some(41)),
        (11, 2, Completed, Some(u64::MAX)),
        (9, 3, Completed, Some(41)),
        (8, 3, Failed, Some(44)),
    ];
    assert_eq!((batches.len(), found), (10, expected.into()));
    let completed = &batches[2];
    assert_eq!((completed.tx_hash, completed.token), (B256::with_last_byte(11), examples::TOKEN));
    assert_eq!(batches[3].tx_hash, B256::repeat_byte(9), "the replacement that was mined");
    let micros = |seconds| chrono::SubsecRound::trunc_subsecs(at(seconds), 6);
    assert_eq!((completed.signed_at, completed.settled_at), (micros(11), Some(micros(15))));

    let beside = Store::connect_schema(&database.server.url(), "read_v2", CONNECTIONS).await.unwrap();
    beside.migrate().await.unwrap();
    let start = begin(&beside).await;
    beside.apply(&story, &start).await.unwrap();
    assert_eq!(beside.overview().await.unwrap().batches, batches, "signed and settled in one batch of events");
}

/// A replacement was mined and is taken back: the row shows it, however many events were read at once.
#[tokio::test]
async fn a10_f40_a_mint_transaction_whose_block_is_gone_is_the_same_row_event_by_event_and_rebuilt() {
    let database = Database::start().await;
    let mined = B256::repeat_byte(9);
    let gone = |nonce| {
        let reversal = Reversal { tx_hash: mined, ..examples::reversal(nonce) };
        Event::Signer(examples::LANE, SignerEvent::Reverted(1, reversal))
    };
    let story = history(
        1,
        vec![
            signed(Purpose::Mint, 1, 3),
            signed(Purpose::Mint, 2, 3),
            settled(1, |settled| settled.tx_hash = mined),
            settled(2, |settled| settled.tx_hash = mined),
            gone(1),
            gone(2),
            Event::Signer(examples::LANE, SignerEvent::Lost(examples::lost(2))),
        ],
    );
    let mut position = begin(&database.store).await;
    for recorded in &story {
        position = database.store.apply(std::slice::from_ref(recorded), &position).await.unwrap().position;
    }
    let live = database.store.overview().await.unwrap().batches;
    let found: Vec<_> =
        live.iter().map(|b| (b.signed_seq, b.tx_hash, b.status, b.block_number, b.settled_at)).collect();
    assert_eq!(found[1], (1, mined, BatchStatus::Processing, None, None));
    assert_eq!((found[0].0, found[0].1, found[0].2), (2, mined, BatchStatus::Failed));

    let beside = Store::connect_schema(&database.server.url(), "read_v2", CONNECTIONS).await.unwrap();
    beside.migrate().await.unwrap();
    let start = begin(&beside).await;
    beside.apply(&story, &start).await.unwrap();
    assert_eq!(beside.overview().await.unwrap().batches, live, "all of it in one batch of events");
}

/// The tables as of the file before, with rows in them: what was projected by then is counted by the new file.
#[tokio::test]
async fn what_was_projected_before_the_counters_is_counted_by_the_migration() {
    let database = Database::start().await;
    let start = begin(&database.store).await;
    let mut story = half_done();
    for n in 1..=3 {
        story.push(recorded(u64::try_from(story.len()).unwrap() + 1, requested(Address::repeat_byte(n), n.into())));
    }
    database.store.apply(&story, &start).await.unwrap();
    let counted = database.store.dump_read_models().await.unwrap();
    sql(&database, "DROP INDEX payments_open; DROP TABLE stage_totals, pace, payers, mint_batches").await;
    sql(&database, "DELETE FROM _sqlx_migrations WHERE version = 4").await;
    database.store.migrate().await.unwrap();
    assert_eq!(database.store.dump_read_models().await.unwrap(), counted);
}

async fn sql(database: &Database, statement: &'static str) {
    let mut connection = PgConnection::connect(&database.server.url()).await.unwrap();
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
}

/// Ten thousand copies of the one minted order. Every hundredth is open again, every fortieth is another payer's.
const MANY: &str = r"
CREATE TABLE more AS
SELECT (json_populate_record(p, json_build_object(
    'id', gen_random_uuid(), 'requested_seq', n, 'last_seq', 100000, 'event_seqs', ARRAY[n, 100000],
    'payer', CASE WHEN n % 40 = 0 THEN '\x1111111111111111111111111111111111111111' ELSE p.payer::text END))).*
FROM payments p, generate_series(1000, 10999) n;
ALTER TABLE more DROP COLUMN is_open;
INSERT INTO payments SELECT * FROM more;
UPDATE payments SET stage = 'minting', mint_state = 'submitted', minted_at = NULL, mint_signer = payer, mint_nonce = 1
WHERE requested_seq % 100 = 0;
INSERT INTO ledger SELECT 1000 + n, subject, headers, payload, recorded_at, hash
FROM generate_series(1, 9999) n, (SELECT * FROM ledger LIMIT 1) _;
INSERT INTO payers SELECT decode(md5(n::text) || '00000000', 'hex'), n, n FROM generate_series(2, 9999) n;
INSERT INTO pace SELECT to_timestamp(n * 10), 0, 0, 0, 0 FROM generate_series(1, 9999) n;
INSERT INTO mint_batches SELECT n, payer, n, payment_key, token, 1, 'processing', requested_at
FROM generate_series(2, 9999) n, (SELECT * FROM payments LIMIT 1) _;
ANALYZE";

/// With ten thousand orders, of which a hundred are open, no question reads all of them.
#[tokio::test]
async fn every_question_is_answered_by_an_index() {
    let database = Database::start().await;
    let start = begin(&database.store).await;
    let mut story = minted_order(1).1;
    story.truncate(5);
    database.store.apply(&history(1, story), &start).await.unwrap();
    sql(&database, MANY).await;
    let cases = [
        (include_str!("../../src/open_orders.sql"), "payments_open"),
        (include_str!("../../src/backlog.sql"), "payments_open"),
        (include_str!("../../src/backlog.sql"), "payers_nth_key"),
        (include_str!("../../src/rates.sql"), "pace_pkey"),
        (include_str!("../../src/recent_batches.sql"), "mint_batches_pkey"),
        (include_str!("../../src/payments_of.sql"), "payments_by_payer"),
        (include_str!("../../src/payments_of.sql"), "payments_pkey"),
        (include_str!("../../src/order_copy.sql"), "ledger_pkey"),
        (include_str!("../../src/order_copy.sql"), "payments_pkey"),
    ];
    let mut connection = PgConnection::connect(&database.server.url()).await.unwrap();
    for (statement, index) in cases {
        let explain = AssertSqlSafe(format!("EXPLAIN (GENERIC_PLAN) {statement}"));
        let plan: Vec<String> = sqlx::raw_sql(explain)
            .fetch_all(&mut connection)
            .await
            .unwrap()
            .iter()
            .map(|row| row.try_get(0).unwrap())
            .collect();
        // The table of positions has one row.
        let plan = plan.join("\n").replace("Seq Scan on projections", "");
        assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{statement}\n{plan}");
    }
}
