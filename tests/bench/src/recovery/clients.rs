//! Clients that go on whatever happens: every payment is sent, to one api after the other, until it is accepted. What
//! breaks off is sent again with the same bytes, and what is put off when the answer says so.

use chrono::{DateTime, Utc};
use domain::TokenTerms;
use runtime::{CancellationToken, Fatal};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::client::{Connection, find};
use crate::load::{Shot, come_back};
use crate::offer::Offer;
use crate::payers::Payers;

/// Between two tries that nobody answered.
const RETRY: Duration = Duration::from_millis(50);
/// The api gives up an append after ten seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// The last payments are accepted within this: an answer may put them off for a minute, and half of it more.
const END_TIMEOUT: Duration = Duration::from_secs(120);
/// Payments that are signed at a time.
const SIGNED_AHEAD: usize = 64;

/// When the next payment is made.
#[derive(Clone, Debug)]
pub enum Rhythm {
    /// Requests per second, at random times, answered or not.
    PerSecond(f64),
    /// One for each permit that somebody adds.
    Permitted(Arc<Semaphore>),
}

/// A purchase and its payer.
pub struct Sale {
    pub payers: Arc<Payers>,
    pub terms: TokenTerms,
    pub offer: Offer,
}

/// The answers so far.
#[derive(Clone, Debug, Default)]
pub struct Served {
    /// Each 202: when, and by which of the apis.
    pub accepted: Vec<(DateTime<Utc>, usize)>,
    /// Tries that were put off with 503 or 429 and a time to come back.
    pub put_off: usize,
    /// Tries that broke off, or did not get through: the next api is tried.
    pub broken: usize,
    /// Answers that must not be, and payments that were not accepted to the end.
    pub wrong: Vec<String>,
}

/// Clients at work, on a thread of their own.
pub struct Clients {
    counter: Arc<Counter>,
    stop: CancellationToken,
    /// Cancelled when no task waits for the end any more.
    dropped: CancellationToken,
    work: JoinHandle<Result<(), Fatal>>,
}

/// State that all clients share.
struct Counter {
    apis: Vec<SocketAddr>,
    /// Open connections to each that nobody uses now.
    idle: Vec<Mutex<Vec<Connection>>>,
    served: Mutex<Served>,
}

impl Clients {
    /// Begins to pay.
    pub fn begin(apis: Vec<SocketAddr>, sale: Sale, rhythm: Rhythm) -> Self {
        let idle = apis.iter().map(|_| Mutex::default()).collect();
        let counter = Arc::new(Counter { apis, idle, served: Mutex::default() });
        let (stop, dropped) = (CancellationToken::new(), CancellationToken::new());
        let work = tokio::task::spawn_blocking({
            let (counter, stop, dropped) = (counter.clone(), stop.clone(), dropped.clone());
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(async {
                    tokio::select! {
                        done = all(counter, sale, rhythm, stop) => done,
                        () = dropped.cancelled() => Ok(()),
                    }
                })
            }
        });
        Self { counter, stop, dropped, work }
    }

    /// The first 202 of this api from then on.
    pub fn first_accepted(&self, api: usize, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let served = lock(&self.counter.served);
        let begin = served.accepted.partition_point(|(at, _)| *at < from);
        served.accepted[begin..].iter().find(|(_, by)| *by == api).map(|(at, _)| *at)
    }

    /// Begins no further payment, and waits until those under way are accepted.
    ///
    /// # Errors
    /// The clock is before 1970.
    pub async fn end(mut self) -> Result<Served, Fatal> {
        self.stop.cancel();
        (&mut self.work).await??;
        Ok(lock(&self.counter.served).clone())
    }
}

impl Drop for Clients {
    /// The thread ends: this process could not otherwise.
    fn drop(&mut self) {
        self.dropped.cancel();
    }
}

async fn all(counter: Arc<Counter>, sale: Sale, rhythm: Rhythm, stop: CancellationToken) -> Result<(), Fatal> {
    let mut under_way = JoinSet::new();
    let mut signed = Vec::new();
    let (mut due, mut first) = (Instant::now(), 0);
    loop {
        let go = async {
            match &rhythm {
                Rhythm::PerSecond(_) => sleep_until(due).await,
                Rhythm::Permitted(permits) => match permits.acquire().await {
                    Ok(permit) => permit.forget(),
                    Err(_) => stop.cancelled().await, // nobody closes it
                },
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = go => {}
        }
        if let Rhythm::PerSecond(rate) = rhythm {
            due += Duration::from_secs_f64(-(1.0 - rand::random::<f64>()).ln() / rate);
        }
        if signed.is_empty() {
            signed = sale.offer.paid(&sale.payers.sign(&sale.terms, first, SIGNED_AHEAD)?);
        }
        if let Some(shot) = signed.pop() {
            under_way.spawn(pay(counter.clone(), shot, first % counter.apis.len()));
            first += 1;
        }
        while under_way.try_join_next().is_some() {}
    }
    let rest = async { while under_way.join_next().await.is_some() {} };
    if timeout(END_TIMEOUT, rest).await.is_err() {
        let count = under_way.len();
        lock(&counter.served).wrong.push(format!("{count} were not accepted within {} s", END_TIMEOUT.as_secs()));
    }
    Ok(())
}

/// Until it is accepted, or answered as it must not be.
async fn pay(counter: Arc<Counter>, shot: Shot, mut api: usize) {
    loop {
        let wait = match timeout(ANSWER_TIMEOUT, counter.ask(api, &shot)).await {
            Ok(Ok(Answer::Accepted)) => return lock(&counter.served).accepted.push((Utc::now(), api)),
            Ok(Ok(Answer::ComeBack(wait))) => {
                lock(&counter.served).put_off += 1;
                wait
            }
            Ok(Ok(Answer::Wrong(answer))) => return lock(&counter.served).wrong.push(answer),
            Ok(Err(_)) | Err(_) => {
                lock(&counter.served).broken += 1;
                RETRY
            }
        };
        api = (api + 1) % counter.apis.len();
        if api == 0 || wait > RETRY {
            sleep(wait).await;
        }
    }
}

/// One answer.
enum Answer {
    Accepted,
    ComeBack(Duration),
    Wrong(String),
}

impl Counter {
    async fn ask(&self, api: usize, shot: &Shot) -> io::Result<Answer> {
        let idle = lock(&self.idle[api]).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(self.apis[api]).await?,
        };
        let answer = match connection.exchange(&shot.bytes).await {
            Ok(answer) if answer.status == shot.status && find(answer.body, shot.says.as_bytes()).is_some() => {
                Answer::Accepted
            }
            Ok(answer) => match come_back(&answer) {
                Some(wait) => Answer::ComeBack(wait),
                None => {
                    let body: String = String::from_utf8_lossy(answer.body).chars().take(200).collect();
                    Answer::Wrong(format!("{}: {body}", answer.status))
                }
            },
            Err(error) => {
                lock(&self.idle[api]).clear(); // whoever broke this one off has broken the others, too
                return Err(error);
            }
        };
        lock(&self.idle[api]).push(connection);
        Ok(answer)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
