//! The one consumer loop. It fetches messages, handles them concurrently, reports progress on those in hand, and sends
//! the answers.

use crate::answer::{Answer, Outcome, retry};
use crate::consume::{Delivery, Inbox, Opened};
use crate::direct::from_delivery;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::{AckKind, Message};
use chrono::{DateTime, Utc};
use domain::{Event, OpsEvent, Recorded};
use runtime::{CancellationToken, MESSAGES, OldestWork, Undone, causes};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

/// Interval of reports of progress on every message in hand. One report may be lost before `ack_wait` is over.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Maximum time for the last answers to leave.
const LEAVING_MAX: Duration = Duration::from_secs(1);

/// Pause after a pull that failed.
const PULL_PAUSE: Duration = Duration::from_secs(1);

/// Delay after which a message of a newer build is delivered again, in case another instance has been upgraded.
const NEWER_PAUSE: Duration = Duration::from_secs(4);

/// The health page no longer names an unknown event type after none was met for this long.
const NEWER_FORGOTTEN: Duration = Duration::from_secs(15);

/// A consumer whose pulls fail for this long stands still. An election of three replicas is over by then.
const FETCH_FAILS_MAX: Duration = Duration::from_secs(20);

/// A message that was handed back, and did not come again for this long after its time, is handled by another process.
const ELSEWHERE: Duration = Duration::from_secs(15);

/// Maximum number of redriven messages in hand, beside the others.
const REDRIVEN_MAX: usize = 8;

/// Delay after which a message that could not be parked is delivered again.
const PARK_PAUSE: Duration = Duration::from_secs(1);

impl Inbox {
    /// Handles messages until `stop`, at most `concurrency` at a time. The loop reports progress on every message whose
    /// handler has not answered, so the server does not redeliver a message while its handler works or queues. A handler
    /// that computes for longer than milliseconds does so in `block_in_place` or `spawn_blocking`: the thread of a task
    /// may be the one that polls sockets and timers for all tasks, and tokio passes that work on only when the task
    /// waits (`Builder::enable_eager_driver_handoff`, unstable, describes it).
    ///
    /// After `stop` nothing more is fetched, and the loop waits for the handlers in progress. A handler that waits for
    /// something must watch `stop` itself. If the ledger does not answer, the loop waits for it. While payouts are
    /// stopped nothing is fetched.
    pub async fn run<H, F>(self, stop: CancellationToken, concurrency: usize, handler: H)
    where
        H: Fn(Delivery) -> F,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let (found, mut arriving) = mpsc::unbounded_channel();
        // A task set, so that dropping this future also ends the fetching.
        let mut fetching = JoinSet::new();
        for (consumer, places) in [(&self.deliveries, concurrency), (&self.redrives, REDRIVEN_MAX)] {
            let places = Semaphore::new(places).into();
            fetching.spawn(fetch(self.clone(), consumer.clone(), places, found.clone(), stop.clone()));
        }
        drop(found);
        let mut hands = Hands {
            inbox: self,
            tasks: JoinSet::new(),
            held: HashMap::new(),
            handed_back: BTreeMap::new(),
            answers: JoinSet::new(),
            newer: None,
        };
        let mut progress = tokio::time::interval(PROGRESS_INTERVAL);
        let mut is_open = true;
        while is_open || !hands.is_empty() {
            tokio::select! {
                arrived = arriving.recv(), if is_open => match arrived {
                    Some((pulled, place)) => hands.take(pulled, place, &handler, stop.is_cancelled()),
                    None => is_open = false,
                },
                Some(ended) = hands.tasks.join_next_with_id() => hands.answer(ended),
                Some(_) = hands.answers.join_next() => {}
                _ = progress.tick() => hands.progress().await,
            }
        }
        hands.inbox.health.oldest(&hands.part(), None);
        while let Some(Err(error)) = fetching.join_next().await {
            tracing::error!(%error, "fetching ended");
        }
        // The last answers leave before the process ends, if the server is there.
        if !matches!(tokio::time::timeout(LEAVING_MAX, hands.inbox.ledger.client.flush()).await, Ok(Ok(()))) {
            tracing::warn!(
                consumer = hands.inbox.durable,
                "the last answers may not have been sent: then their messages are redelivered"
            );
        }
    }
}

/// A message that was pulled.
struct Pulled {
    message: Message,
    /// The message that this one has handled once more, if it is a redrive.
    of: Option<Recorded>,
}

fn is_redrive(message: &Message) -> bool {
    message.subject.starts_with("ops.redriven.")
}

impl Inbox {
    /// Finds the message of a redrive. Returns `None` if the ledger does not answer: the server delivers the redrive again. A
    /// redrive of nothing is handled as itself, and so given up.
    async fn redriven(&self, message: Message) -> Option<Pulled> {
        let sequence = match from_delivery(&message).ok()?.event {
            Ok(Event::Ops(OpsEvent::Redriven(_, redriven))) => redriven.sequence,
            _ => return Some(Pulled { message, of: None }),
        };
        match self.ledger.at(sequence).await {
            Ok(of) => Some(Pulled { message, of }),
            Err(error) => {
                tracing::warn!(consumer = self.durable, sequence, error = %causes(&error), "a redriven message cannot be read now");
                None
            }
        }
    }
}

/// Pulls as many messages as there are free places, until `stop`.
async fn fetch(
    inbox: Inbox,
    consumer: PullConsumer,
    places: Arc<Semaphore>,
    found: mpsc::UnboundedSender<(Pulled, OwnedSemaphorePermit)>,
    stop: CancellationToken,
) {
    let part = format!("pulls of the consumer {}", consumer.cached_info().name);
    let mut failing = None;
    while !stop.is_cancelled() {
        inbox.ledger.until_whole(&stop).await;
        let free = tokio::select! {
            free = places.clone().acquire_owned() => free,
            () = stop.cancelled() => return,
        };
        let Ok(mut free) = free else { return };
        // Only this task takes places, so the free ones stay free.
        let more = u32::try_from(places.available_permits()).unwrap_or(u32::MAX);
        if let Ok(more) = places.clone().try_acquire_many_owned(more) {
            free.merge(more);
        }
        let room = free.num_permits();
        let mut redrives = Vec::new();
        let pulled = inbox.pull(&consumer, room, |message| {
            let Some(place) = free.split(1) else { return };
            if is_redrive(&message) {
                redrives.push((message, place));
            } else {
                let _ = found.send((Pulled { message, of: None }, place));
            }
        });
        let pulled = pulled.await;
        for (message, place) in redrives {
            if let Some(pulled) = inbox.redriven(message).await {
                let _ = found.send((pulled, place));
            }
        }
        let Err(error) = pulled else {
            if failing.take().is_some() {
                inbox.health.oldest(&part, None);
            }
            continue;
        };
        tracing::warn!(consumer = inbox.durable, error = %causes(&error), "no messages could be fetched");
        let age = failing.get_or_insert_with(Instant::now).elapsed();
        let (what, words) = ("fetching".to_owned(), causes(&error).to_string());
        inbox.health.oldest(&part, Some(OldestWork { what, age, words, limit: FETCH_FAILS_MAX }));
        tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(PULL_PAUSE) => {} }
    }
}

/// The messages in hand, by the task that handles each.
struct Hands {
    inbox: Inbox,
    tasks: JoinSet<Outcome>,
    held: HashMap<Id, Held>,
    /// Messages that were handed back and come again, by sequence.
    handed_back: BTreeMap<u64, HandedBack>,
    /// Answers on their way to the server.
    answers: JoinSet<()>,
    newer: Option<Newer>,
}

/// A message whose handler has not answered yet.
struct Held {
    message: Message,
    seq: u64,
    deliveries: u32,
    recorded_at: DateTime<Utc>,
    place: OwnedSemaphorePermit,
}

/// A message that was handed back.
struct HandedBack {
    subject: String,
    recorded_at: DateTime<Utc>,
    /// The reason.
    words: String,
    /// When it comes again.
    until: Instant,
}

/// The unknown event type that this consumer waits for.
struct Newer {
    kind: String,
    seen: Instant,
}

impl Hands {
    fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.answers.is_empty()
    }

    fn take<H, F>(&mut self, pulled: Pulled, place: OwnedSemaphorePermit, handler: &H, is_stopping: bool)
    where
        H: Fn(Delivery) -> F,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let Pulled { message, of } = pulled;
        let is_redriven = of.is_some();
        let deliveries = message.info().map(|info| u32::try_from(info.delivered).unwrap_or(1)).unwrap_or(1);
        let recorded = match of.map_or_else(|| from_delivery(&message), Ok) {
            Ok(recorded) => recorded,
            Err(error) => {
                // The server delivers it again after `ack_wait`.
                tracing::warn!(consumer = self.inbox.durable, error = %causes(&error), "a delivery without a sequence");
                return;
            }
        };
        let (seq, recorded_at) = (recorded.seq, recorded.message.recorded_at);
        let held = Held { message, seq, deliveries, recorded_at, place };
        match Opened::of(recorded, deliveries, is_redriven) {
            _ if is_stopping => self.send(held, Answer::Later(Duration::ZERO), String::new()),
            Opened::Event(delivery) => {
                let task = self.tasks.spawn(handler(*delivery));
                self.held.insert(task.id(), held);
            }
            Opened::Newer(kind) => {
                let words = format!("this build does not know the event type {kind}");
                self.meet(kind);
                self.send(held, Answer::Later(NEWER_PAUSE), words);
            }
            Opened::Foreign(why) => self.send(held, Answer::Park(why), String::new()),
        }
    }

    /// Answers the message of a task that has ended.
    fn answer(&mut self, ended: Result<(Id, Outcome), JoinError>) {
        let (id, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) => (error.id(), Err(Undone::transient(error))),
        };
        let Some(held) = self.held.remove(&id) else { return };
        let mut words = "it waits".to_owned();
        let answer = match outcome {
            Ok(answer) => answer,
            Err(why) => {
                words = causes(&why).to_string();
                if let Undone::Unknown(kind) = &why {
                    self.meet(kind.to_string());
                } else if matches!(why, Undone::Transient(_)) {
                    let (consumer, seq) = (self.inbox.durable, held.seq);
                    tracing::warn!(consumer, seq, error = %causes(&why), "the message cannot be handled now: it is redelivered");
                }
                retry(&why, held.deliveries)
            }
        };
        self.send(held, answer, words);
    }

    /// Sends an answer to the server. The message's place is free afterwards. `words` say why a message is handed back.
    fn send(&mut self, held: Held, answer: Answer, words: String) {
        match &answer {
            Answer::Later(delay) => {
                let (subject, until) = (held.message.subject.to_string(), Instant::now() + *delay);
                let back = HandedBack { subject, recorded_at: held.recorded_at, words, until };
                self.handed_back.insert(held.seq, back);
            }
            Answer::Done | Answer::Park(_) => _ = self.handed_back.remove(&held.seq),
        }
        let inbox = self.inbox.clone();
        self.answers.spawn(async move {
            let Held { message, seq, place, .. } = held;
            MESSAGES.add(&[inbox.durable, answer.name()]);
            let sent = match answer {
                // If the ack is lost the message is redelivered, which changes nothing. So no confirmation is asked for.
                Answer::Done => message.ack().await,
                // Always with a delay: after a plain nak the server redelivers immediately, whatever backoff is
                // configured.
                Answer::Later(delay) => message.ack_with(AckKind::Nak(Some(delay))).await,
                Answer::Park(reason) => match inbox.ledger.set_aside(inbox.durable, seq, &reason).await {
                    Ok(()) => message.ack_with(AckKind::Term).await,
                    Err(error) => {
                        tracing::warn!(error = %causes(&error), "the message could not be parked: it is redelivered");
                        message.ack_with(AckKind::Nak(Some(PARK_PAUSE))).await
                    }
                },
            };
            if let Err(error) = sent {
                tracing::warn!(consumer = inbox.durable, seq, %error, "the answer was not sent: the message is redelivered");
            }
            drop(place);
        });
    }

    /// The oldest message that is not answered. Messages that another process handles now are forgotten.
    fn oldest(&mut self) -> Option<OldestWork> {
        let held: HashSet<u64> = self.held.values().map(|held| held.seq).collect();
        self.handed_back.retain(|seq, back| held.contains(seq) || back.until.elapsed() < ELSEWHERE);
        let in_hand = self.held.values().min_by_key(|held| held.seq);
        let back = self.handed_back.first_key_value();
        let seq = in_hand.map(|held| held.seq).into_iter().chain(back.map(|(seq, _)| *seq)).min()?;
        let in_hand =
            in_hand.filter(|held| held.seq == seq).map(|held| (held.message.subject.as_str(), held.recorded_at));
        let back = self.handed_back.get(&seq);
        let words = back.map_or_else(|| "in hand".to_owned(), |back| back.words.clone());
        let (subject, recorded_at) = in_hand.or(back.map(|back| (back.subject.as_str(), back.recorded_at)))?;
        let age = (Utc::now() - recorded_at).to_std().unwrap_or_default();
        Some(OldestWork { what: format!("{subject} at sequence {seq}"), age, words, limit: self.inbox.patience })
    }

    /// Reports progress on every message in hand. Publishing waits only while the client's own buffer is full.
    async fn progress(&mut self) {
        for held in self.held.values() {
            if let Err(error) = held.message.ack_with(AckKind::Progress).await {
                tracing::debug!(consumer = self.inbox.durable, seq = held.seq, %error, "progress not sent");
            }
        }
        let oldest = self.oldest();
        self.inbox.health.oldest(&self.part(), oldest);
        if self.newer.as_ref().is_some_and(|newer| newer.seen.elapsed() > NEWER_FORGOTTEN) {
            self.newer = None;
            self.inbox.health.good(&self.part());
        }
    }

    /// Reports an event of a newer build: once in the log, and in health for as long as it lasts.
    fn meet(&mut self, kind: String) {
        let seen = Instant::now();
        match &mut self.newer {
            Some(newer) if newer.kind == kind => newer.seen = seen,
            _ => {
                let (consumer, since) = (self.inbox.durable, Utc::now().to_rfc3339());
                tracing::error!(consumer, kind, "this build does not know the event type: upgrade this process");
                let why =
                    format!("waits since {since} for a build that knows the event type {kind}: upgrade this process");
                self.inbox.health.bad(&self.part(), why);
                self.newer = Some(Newer { kind, seen });
            }
        }
    }

    fn part(&self) -> String {
        format!("consumer {}", self.inbox.durable)
    }
}
