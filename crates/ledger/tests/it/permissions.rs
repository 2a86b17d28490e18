//! S19: every user of `nats/server.conf` can do its work and nothing else. [`crate::common::WRITES`] lists the events
//! that each user writes; everything else is tried with a stolen password.

use crate::common::{Served, WRITES, hostile, moved, name, new, of_purpose, purpose_of, thief, written_by};
use async_nats::{Client, HeaderMap};
use domain::event::Purpose;
use domain::{Event, OpsEvent, StoredMessage, examples};
use futures_util::StreamExt;
use ledger::{
    Answer, Batch, ConnectError, Expected, Lag, Ledger, LedgerConfig, NewEvent, Refill, STREAM, encode, subject,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use testkit::{Broker, eventually};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

/// Services with a durable consumer of their name, and further consumers with their owners.
const CONSUMERS: [&str; 4] = ["payment-sender", "confirmer", "mint-projector", "operator"];
const FURTHER: [(&str, &str); 3] = [
    ("payment-sender", "payment-sender-deferred"),
    ("confirmer", "confirmer-deferred"),
    ("confirmer", "confirmer-watch"),
];

const MOMENT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn s19_every_service_can_do_its_work() {
    let broker = Broker::with_accounts().await;
    let ops = broker.ledger("ops").await;
    ops.append(&[new(examples::all().remove(0))]).await.unwrap();
    let mut last = ops.state().await.unwrap().1;
    for (user, _) in WRITES {
        let ledger = broker.ledger(user).await;
        let mut news = ledger.follow(vec!["orders.>".to_owned(), "signers.>".to_owned()], true).await.unwrap();
        let events = written_by(user);
        last += u64::try_from(events.len()).unwrap();
        let batch = Batch::unordered(events.iter().cloned().map(new));
        let sequences = ledger.append(&batch).await.unwrap();
        assert_eq!(sequences.last().copied().unwrap_or(last), last, "{user}");
        assert_eq!(ledger.append(&batch).await.unwrap(), sequences, "{user} finds its own first try");
        if let [first, ..] = events.as_slice() {
            assert_eq!(news.next().await.unwrap().unwrap().subject, subject(first), "{user}");
        }
        assert_eq!(ledger.state().await.unwrap(), (ops.incarnation(), last));
        assert_eq!(ledger.token(examples::TOKEN).await.unwrap().unwrap(), examples::terms());
        assert!(ledger.load_order(examples::request().id()).await.unwrap().state.is_some(), "{user}");
        assert_eq!(ledger.read_from(1).await.unwrap().next().await.unwrap().unwrap().seq, 1, "{user}");
    }
    let everything = ops.read_from(1).await.unwrap().take(usize::try_from(last).unwrap());
    let all: Vec<u64> = everything.map(|recorded| recorded.unwrap().seq).collect().await;
    assert_eq!(all, (1..=last).collect::<Vec<_>>());
}

#[tokio::test]
async fn s19_every_service_can_consume_acknowledge_and_park() {
    let broker = Broker::with_accounts().await;
    let (thief, _) = thief(&broker, "ops").await;
    let ops = broker.ledger("ops").await;
    let id = examples::request().id();
    let kinds = ["payment.requested", "signer.signed", "payment.confirmed", "payment.parked"];
    for (user, kind) in CONSUMERS.into_iter().zip(kinds) {
        let example = examples::all().into_iter().find(|event| name(event) == kind).unwrap();
        ops.append(&[new(example.clone())]).await.unwrap();
        let ledger = broker.ledger(user).await;
        let again = Duration::from_millis(10);
        let mut served = Served::by(&broker, user, user, move |delivery| async move {
            Ok(if delivery.deliveries == 1 { Answer::Later(again) } else { Answer::Done })
        })
        .await;
        let (first, second) = (served.next().await, served.next().await);
        assert_eq!((first.event, first.deliveries, second.deliveries), (example.clone(), 1, 2));

        let unreadable = subject(&moved(example, 0xee)).replace(&id.to_string(), "no-order");
        let ack = thief.request(unreadable, "not an event".into()).await.unwrap();
        let seq = serde_json::from_slice::<Value>(&ack.payload).unwrap()["seq"].as_u64().unwrap();
        let parked = eventually("it is parked", async || ledger.at(seq + 1).await.unwrap()).await;
        assert!(matches!(parked.event.unwrap(), Event::Ops(OpsEvent::Parked(parked)) if parked.sequence == seq));
        eventually("nothing is in hand", async || (ledger.lag(user).await.unwrap() == Lag::default()).then_some(()))
            .await;
        served.end().await;
        for (_, durable) in FURTHER.into_iter().filter(|(owner, _)| *owner == user) {
            Served::by(&broker, user, durable, |_| async { Ok(Answer::Done) }).await.end().await;
        }
    }
}

#[tokio::test]
async fn s19_b69_what_looks_like_an_answer_holds_up_no_consumer() {
    let broker = Broker::with_accounts().await;
    let ops = broker.ledger("ops").await;
    let hostile = hostile(&broker);
    let example = examples::all().remove(2);
    ops.append(&[new(example.clone())]).await.unwrap();
    let mut served = Served::by(&broker, "payment-sender", "payment-sender", |_| async { Ok(Answer::Done) }).await;
    assert_eq!(served.next().await.event, example);
    assert_eq!(hostile.len(), 4);
}

/// Publishes to subjects that the user must not write, and waits for a refusal of each. Returns the subjects that were
/// not refused.
async fn not_refused(
    thief: &Client,
    refusals: &mut UnboundedReceiver<String>,
    subjects: &[String],
) -> BTreeSet<String> {
    let mut missing = BTreeSet::new();
    // The client drops events that its user does not read in time.
    for some in subjects.chunks(50) {
        for subject in some {
            thief.publish_with_reply(subject.clone(), thief.new_inbox(), "{}".into()).await.unwrap();
        }
        missing.extend(refused(refusals, some).await);
    }
    missing
}

async fn refused(refusals: &mut UnboundedReceiver<String>, subjects: &[String]) -> BTreeSet<String> {
    let mut missing: BTreeSet<String> = subjects.iter().cloned().collect();
    while !missing.is_empty() {
        let Ok(Some(said)) = timeout(Duration::from_secs(2), refusals.recv()).await else { break };
        assert!(said.to_lowercase().contains("permissions violation"), "{said}");
        let subject = said.split('"').nth(1).unwrap_or_default().to_owned();
        missing.remove(&subject);
    }
    missing
}

/// Requests of the JetStream API that only ops may send, and those to consumers of other users.
fn not_for(user: &str) -> Vec<String> {
    let mut requests: Vec<String> =
        ["CREATE", "UPDATE", "DELETE", "PURGE", "SNAPSHOT", "RESTORE", "MSG.GET", "MSG.DELETE"]
            .iter()
            .map(|verb| format!("STREAM.{verb}.{STREAM}"))
            .chain(
                ["STREAM.CREATE.OTHER", "STREAM.NAMES", "STREAM.LIST", "INFO", "META.LEADER.STEPDOWN"]
                    .map(str::to_owned),
            )
            .chain(["CREATE", "NAMES", "LIST"].map(|verb| format!("CONSUMER.{verb}.{STREAM}")))
            .chain([format!("DIRECT.GET.{STREAM}.orders.0.x.mint.payment.requested")])
            .collect();
    for consumer in CONSUMERS {
        for verb in ["CREATE", "DURABLE.CREATE", "DELETE", "PAUSE", "UNPIN", "RESET"] {
            requests.push(format!("CONSUMER.{verb}.{STREAM}.{consumer}"));
        }
        requests.push(format!("CONSUMER.CREATE.{STREAM}.{consumer}.orders.>"));
        if consumer != user {
            for verb in ["INFO", "MSG.NEXT"] {
                // The api must know how much work the payment-sender has.
                if (user, consumer, verb) != ("api", "payment-sender", "INFO") {
                    requests.push(format!("CONSUMER.{verb}.{STREAM}.{consumer}"));
                }
            }
        }
    }
    let owned = CONSUMERS.iter().map(|consumer| (consumer, consumer)).chain(FURTHER.iter().map(|(of, it)| (of, it)));
    for (_, durable) in owned.filter(|(owner, _)| **owner != user) {
        requests.extend(["INFO", "MSG.NEXT"].map(|verb| format!("CONSUMER.{verb}.{STREAM}.{durable}-redriven")));
    }
    for (_, durable) in FURTHER.iter().filter(|(owner, _)| *owner != user) {
        requests.extend(["INFO", "MSG.NEXT"].map(|verb| format!("CONSUMER.{verb}.{STREAM}.{durable}")));
    }
    let acks = CONSUMERS.iter().filter(|consumer| **consumer != user);
    let acks: Vec<String> = acks.map(|consumer| format!("$JS.ACK.{STREAM}.{consumer}.1.1.1.1.0")).collect();
    let in_both = |request: &String| [format!("$JS.API.{request}"), format!("LEDGER.API.{request}")];
    let elsewhere = ["$SYS.REQ.SERVER.PING", "_INBOX_ops.x", "_INBOX.x", "tokens.00.x.registered", "anything"];
    requests.iter().flat_map(in_both).chain(acks).chain(elsewhere.map(str::to_owned)).collect()
}

#[tokio::test]
async fn s19_f12_nobody_does_anothers_work_or_administers() {
    let broker = Broker::with_accounts().await;
    let ops = broker.ledger("ops").await;
    ops.append(&[new(examples::all().remove(0))]).await.unwrap();
    let before = ops.state().await.unwrap();
    let admin = thief(&broker, "ops").await.0;
    let settings = async || -> Value {
        let answer = admin.request(format!("$JS.API.CONSUMER.LIST.{STREAM}"), "".into()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        answer["consumers"].as_array().unwrap().iter().map(|one| one["config"].clone()).collect()
    };
    let consumers_before = settings().await;
    for (user, writes) in WRITES {
        let (thief, mut refusals) = thief(&broker, user).await;
        let mut subjects = not_for(user);
        let others = examples::all().into_iter().filter(|event| !writes.contains(&name(event).as_str()));
        subjects.extend(others.map(|event| subject(&moved(event, 0xaa))));
        // A user that works lanes may work those of one purpose only. Only the confirmer writes for all.
        for purpose in Purpose::ALL.into_iter().filter(|purpose| user != "confirmer" && *purpose != purpose_of(user)) {
            let lanes = examples::all().into_iter().filter(|event| matches!(event, Event::Signer(..)));
            let foreign = lanes.filter(|event| writes.contains(&name(event).as_str()));
            subjects.extend(foreign.map(|event| subject(&moved(of_purpose(event, purpose), 0xab))));
        }
        assert_eq!(not_refused(&thief, &mut refusals, &subjects).await, BTreeSet::new(), "{user} may publish");

        let listen = [">", "orders.>", "_INBOX.>", "_INBOX_ops.>", "$JS.EVENT.>", "$JS.API.>", "LEDGER.API.>", "_R_.>"];
        let mut held = Vec::new();
        for subject in listen {
            held.push(thief.subscribe(subject).await.unwrap());
        }
        let listen = listen.map(str::to_owned);
        assert_eq!(refused(&mut refusals, &listen).await, BTreeSet::new(), "{user} may subscribe");
    }
    assert_eq!(ops.state().await.unwrap(), before);
    assert_eq!(settings().await, consumers_before);
}

/// Permissions do not check the reply subject of a request. Within one account an answer, with content that the
/// requester chooses, could be stored as an event of another user.
#[tokio::test]
async fn s19_no_answer_becomes_an_event() {
    let broker = Broker::with_accounts().await;
    let ops = broker.ledger("ops").await;
    ops.append(Batch::unordered(examples::all().into_iter().map(new))).await.unwrap();
    // No service writes this event: a token for sale, with a contract and a price that the thief chose.
    let forged = subject(&examples::all().remove(0)).replace("79c8", "ffff");
    assert!(forged.starts_with("tokens.") && forged.ends_with("ffff.registered"));
    let mut last = ops.state().await.unwrap().1;
    for (user, _) in WRITES {
        let (thief, mut refusals) = thief(&broker, user).await;
        let ask = async |to: String, body: Value| {
            let body = if body.is_null() { String::new() } else { body.to_string() };
            let traced = HeaderMap::from_iter([("Nats-Trace-Dest".parse().unwrap(), forged.as_str().into())]);
            thief.publish_with_reply(to.clone(), forged.clone(), body.clone().into()).await.unwrap();
            thief.publish_with_headers(to, traced, body.into()).await.unwrap();
        };
        ask(format!("LEDGER.API.STREAM.INFO.{STREAM}"), Value::Null).await;
        ask(format!("LEDGER.API.DIRECT.GET.{STREAM}"), json!({ "seq": 3 })).await;
        ask(format!("LEDGER.API.DIRECT.GET.{STREAM}"), json!({ "seq": 1, "next_by_subj": ">", "batch": 5 })).await;
        if CONSUMERS.contains(&user) {
            ask(format!("LEDGER.API.CONSUMER.INFO.{STREAM}.{user}"), Value::Null).await;
            ask(format!("LEDGER.API.CONSUMER.MSG.NEXT.{STREAM}.{user}"), json!({ "batch": 5, "no_wait": true })).await;
            ask(format!("$JS.ACK.{STREAM}.{user}.1.3.1.1.0"), Value::Null).await;
        }
        for event in written_by(user) {
            ask(
                subject(&moved(event.clone(), 0xcc)).replace(&examples::request().id().to_string(), user),
                json!({ "by": user }),
            )
            .await;
        }
        thief.flush().await.unwrap();
        tokio::time::sleep(MOMENT).await;
        let stored = ops.state().await.unwrap().1;
        for seq in last + 1..=stored {
            assert_ne!(ops.at(seq).await.unwrap().unwrap().subject, forged, "{user} forges");
        }
        last = stored;
        while let Ok(said) = refusals.try_recv() {
            assert!(said.contains(&forged), "{user} was to be allowed all of this: {said}");
        }
    }
}

#[tokio::test]
async fn f12_not_even_ops_erases_history() {
    let broker = Broker::with_accounts().await;
    let ops = broker.ledger("ops").await;
    ops.append(&[new(examples::all().remove(0))]).await.unwrap();
    let (admin, _) = thief(&broker, "ops").await;
    let info = admin.request(format!("$JS.API.STREAM.INFO.{STREAM}"), "".into()).await.unwrap();
    let mut config = serde_json::from_slice::<Value>(&info.payload).unwrap()["config"].clone();
    config["deny_purge"] = json!(false);
    for (request, body, code) in [
        (format!("STREAM.PURGE.{STREAM}"), json!({}), 10110),
        (format!("STREAM.MSG.DELETE.{STREAM}"), json!({ "seq": 1 }), 10057),
        (format!("STREAM.UPDATE.{STREAM}"), config, 10052),
    ] {
        let answer = admin.request(format!("$JS.API.{request}"), body.to_string().into()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert_eq!(answer["error"]["err_code"], json!(code), "{request}: {answer}");
    }
    assert!(ops.at(1).await.unwrap().is_some());
}

#[tokio::test]
async fn s19_ops_refills_a_ledger_and_nobody_else_writes_into_it_meanwhile() {
    let broker = Broker::with_accounts().await;
    let (admin, _) = thief(&broker, "ops").await;
    admin.request(format!("$JS.API.STREAM.DELETE.{STREAM}"), "".into()).await.unwrap();
    let config = |user| LedgerConfig { url: broker.url(user), monitor_url: broker.nats.monitor_url() };
    let mut refill = Refill::begin(&config("ops")).await.unwrap();
    let payload = encode(&examples::all()[1], "/paymint/payment-sender", None, chrono::Utc::now()).unwrap().into();
    let headers = Some(b"Content-Type: application/cloudevents+json\r\n".to_vec());
    let (subject, recorded_at) = (subject(&examples::all()[1]), chrono::Utc::now());
    let copied = StoredMessage { seq: 1, subject, headers, payload, recorded_at };
    refill.put(std::slice::from_ref(&copied)).await.unwrap();

    for (user, _) in WRITES {
        let (thief, mut refusals) = thief(&broker, user).await;
        thief.publish("refill.orders.0.a.mint.payment.requested", "forged".into()).await.unwrap();
        thief.flush().await.unwrap();
        let refusal = timeout(Duration::from_secs(5), refusals.recv()).await.unwrap().unwrap();
        assert!(refusal.to_lowercase().contains("permissions violation"), "{user}: {refusal}");
        let started = Ledger::connect(&config(user), "/paymint/test").await;
        assert!(matches!(started, Err(ConnectError::Drift { .. })), "{user}: {started:?}");
    }
    assert_eq!(Refill::begin(&config("ops")).await.unwrap().last(), 1);
    refill.open().await.unwrap();
    let found = broker.ledger("api").await.at(1).await.unwrap().unwrap();
    assert_eq!(found.message, StoredMessage { recorded_at: found.recorded_at, ..copied });
}

#[tokio::test]
async fn s19_who_has_no_password_gets_in_nowhere() {
    let broker = Broker::with_accounts().await;
    let (plain, monitor_url) = (broker.nats.url(), broker.nats.monitor_url());
    for credentials in ["", "api:wrong@", "nobody:p-api@", "ops@"] {
        let url = plain.replace("://", &format!("://{credentials}"));
        let refused = Ledger::connect(&LedgerConfig { url, monitor_url: monitor_url.clone() }, "/paymint/test").await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("authorization violation") && !error.contains("wrong"), "{credentials} {error}");
    }
    let version = NewEvent { expected: Expected::Version(0), ..new(examples::all().remove(2)) };
    assert_eq!(broker.ledger("api").await.append(&[version]).await.unwrap(), [1]);
}
