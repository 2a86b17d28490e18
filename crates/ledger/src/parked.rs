//! Messages that a consumer has given up: recorded for an operator, and told to the orders concerned.

use crate::batch::{Batch, Expected, NewEvent};
use crate::connect::Ledger;
use crate::error::{AppendError, LedgerError};
use crate::subjects::{PARKED, parked_legs, parked_subject, redriven_filter};
use chrono::{DateTime, Utc};
use domain::event::{OrderHold, ParkedMessage, RedrivenMessage};
use domain::order::Holds;
use domain::{Event, OpsEvent, OrderEvent, PaymentId, Recorded, SignerEvent};
use runtime::Cause;

/// Maximum length of a reason, in characters (`schemas/io.paymint.ops.parked.v1.json`).
const REASON_CHARS: usize = 200;

/// Appends that may lose the race against another writer of an order before the message is delivered again.
const TRIES: usize = 5;

/// A message that a consumer has given up, with all redrives of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// The message, as it was given up last.
    pub parked: ParkedMessage,
    /// When that was.
    pub since: DateTime<Utc>,
    /// The redrives, oldest first.
    pub redrives: Vec<RedrivenMessage>,
}

/// An order that a message concerns: its holds, and the version that an append to it must name.
#[derive(Clone, Debug)]
pub struct HeldOrder {
    /// The order.
    pub id: PaymentId,
    /// Its holds.
    pub holds: Holds,
    /// Sequence of its last event.
    pub version: u64,
    /// Trace context of its first event.
    pub trace: Option<String>,
}

impl GivenUp {
    /// True if no redrive has followed.
    pub fn is_set_aside(&self) -> bool {
        u32::try_from(self.redrives.len()).is_ok_and(|redrives| redrives <= self.parked.redrives)
    }
}

impl HeldOrder {
    /// True if this message holds the order.
    pub fn is_held_by(&self, consumer: &str, sequence: u64) -> bool {
        self.holds.present().is_some_and(|hold| (hold.consumer.as_str(), hold.sequence) == (consumer, sequence))
    }
}

impl Ledger {
    /// Records that `durable` gives up the message at `seq`, for an operator, and in every order that the message concerns.
    /// All of it is one append. Recording it twice stores it once.
    ///
    /// # Errors
    /// `Transient`: it may be recorded or not; try again.
    pub async fn set_aside(&self, durable: &str, seq: u64, reason: &str) -> Result<(), LedgerError> {
        let failed = |why: Cause| LedgerError::transient(format!("parking the message at sequence {seq}"), why);
        let message = self.at(seq).await?.ok_or_else(|| failed("it was not found".into()))?;
        tracing::error!(consumer = durable, seq, subject = message.subject, reason, "message parked");
        let concerned: Vec<_> = self.concerned(&message).await?.into_iter().map(|id| (id, reason.to_owned())).collect();
        let parked = parked(durable, seq, &message.subject, reason);
        for _ in 0..TRIES {
            let events = self.giving_up(parked.clone(), &concerned).await?;
            if events.is_empty() {
                return Ok(());
            }
            match self.append(Batch::unordered(events)).await {
                Err(AppendError::WrongVersion) => {}
                stored => return stored.map(drop).map_err(|e| failed(e.into())),
            }
        }
        Err(failed("the orders move on".into()))
    }

    /// The events with which a consumer gives up a message: a hold for each of `orders` with its reason, and behind them the
    /// parked message. Those that are stored already are left out.
    ///
    /// An order that is held as another message of the consumer, as one that waited and came back, is not held twice.
    ///
    /// # Errors
    /// `Transient`: the ledger did not answer.
    pub async fn giving_up(
        &self,
        parked: ParkedMessage,
        orders: &[(PaymentId, String)],
    ) -> Result<Vec<NewEvent>, LedgerError> {
        let ParkedMessage { consumer, sequence, .. } = &parked;
        let redrives = self.last_per_subject(&[redriven_filter(consumer, *sequence)]).await?.len();
        let parked = ParkedMessage { redrives: u32::try_from(redrives).unwrap_or(u32::MAX), ..parked.clone() };
        let is_recorded = self.last(&parked_subject(&parked)).await?.is_some();
        let (mut events, mut elsewhere) = (Vec::new(), 0);
        for (id, why) in orders {
            let Some(HeldOrder { id, holds, version, trace }) = self.held_order(*id).await? else { continue };
            let is_other = holds.present().is_some_and(|hold| hold.consumer == *consumer && hold.sequence != *sequence);
            elsewhere += usize::from(is_other);
            let hold = OrderHold { consumer: consumer.clone(), sequence: *sequence, detail: shortened(why) };
            let event = holds.hold(hold).map(|event| Event::Order(id, event));
            events.extend(event.map(|event| NewEvent { event, expected: Expected::Version(version), trace }));
        }
        let is_elsewhere = !orders.is_empty() && elsewhere == orders.len();
        if !is_recorded && !is_elsewhere {
            let event = Event::Ops(OpsEvent::Parked(parked));
            events.push(NewEvent { event, expected: Expected::Absent, trace: None });
        }
        Ok(events)
    }

    /// The orders that a message concerns, also if it cannot be read: the one whose message it is, or those in its
    /// transaction.
    ///
    /// # Errors
    /// `Transient`: the ledger did not answer.
    pub async fn concerned(&self, message: &Recorded) -> Result<Vec<PaymentId>, LedgerError> {
        Ok(match &message.event {
            Ok(Event::Order(id, _)) => vec![*id],
            Ok(Event::Signer(_, SignerEvent::Signed(tx) | SignerEvent::Replaced(_, tx))) => tx.items.clone(),
            Ok(Event::Signer(lane, SignerEvent::Settled(settled) | SignerEvent::Resettled(_, settled))) => {
                let signed = self.signed(*lane, &[settled.nonce]).await?;
                signed.into_iter().next().map(|tx| tx.items).unwrap_or_default()
            }
            _ => match message.subject.split('.').collect::<Vec<_>>().as_slice() {
                ["orders", _, id, ..] => id.parse().into_iter().collect(),
                _ => Vec::new(),
            },
        })
    }

    /// The holds of an order, also if its history is impossible. Returns `None` if it has no request, and so no payer to be
    /// told.
    ///
    /// # Errors
    /// `Transient`: the ledger did not answer.
    pub async fn held_order(&self, id: PaymentId) -> Result<Option<HeldOrder>, LedgerError> {
        let history = self.order_history(id).await?;
        let events = || {
            history.iter().filter_map(|recorded| match &recorded.event {
                Ok(Event::Order(_, event)) => Some(event),
                _ => None,
            })
        };
        let (Some(first), Some(last)) = (history.first(), history.last()) else { return Ok(None) };
        if !matches!(events().next(), Some(OrderEvent::PaymentRequested(_))) {
            return Ok(None);
        }
        Ok(Some(HeldOrder { id, holds: Holds::of(events()), version: last.seq, trace: first.trace.clone() }))
    }

    /// Every order of which a leg was ever parked, those that were parked last at the end.
    ///
    /// # Errors
    /// `Corrupt`: a shard has more than 1,024, the most that the server returns for one request. `Transient`: the ledger did
    /// not answer.
    pub async fn once_parked(&self) -> Result<Vec<PaymentId>, LedgerError> {
        let mut ids = Vec::new();
        for recorded in self.last_per_subject(&parked_legs()).await? {
            if let Ok(Event::Order(id, _)) = recorded.event {
                ids.retain(|known| *known != id);
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// Every message that a consumer has ever given up, oldest first.
    ///
    /// # Errors
    /// `Corrupt`: there are more than 1,024, the most that the server returns for one request. `Transient`: the ledger did
    /// not answer.
    pub async fn given_up(&self) -> Result<Vec<GivenUp>, LedgerError> {
        let mut found: Vec<GivenUp> = Vec::new();
        for recorded in self.last_per_subject(&PARKED.map(str::to_owned)).await? {
            let since = recorded.recorded_at;
            match recorded.event {
                Ok(Event::Ops(OpsEvent::Parked(parked))) => match find(&mut found, &parked.consumer, parked.sequence) {
                    Some(before) => (before.parked, before.since) = (parked, since),
                    None => found.push(GivenUp { parked, since, redrives: Vec::new() }),
                },
                Ok(Event::Ops(OpsEvent::Redriven(_, redrive))) => {
                    if let Some(of) = find(&mut found, &redrive.consumer, redrive.sequence) {
                        of.redrives.push(redrive);
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

fn find<'a>(found: &'a mut [GivenUp], consumer: &str, sequence: u64) -> Option<&'a mut GivenUp> {
    found.iter_mut().find(|it| it.parked.sequence == sequence && it.parked.consumer == consumer)
}

/// The event that records a message which `durable` gives up for the first time.
pub fn parked(durable: &str, sequence: u64, subject: &str, reason: &str) -> ParkedMessage {
    let (consumer, subject) = (durable.to_owned(), subject.to_owned());
    ParkedMessage { consumer, sequence, subject, reason: shortened(reason), redrives: 0 }
}

fn shortened(reason: &str) -> String {
    reason.chars().take(REASON_CHARS).collect()
}
