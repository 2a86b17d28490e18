//! A batch of events over the rows that it touches, in memory and in order. Pure: what is loaded before and written
//! after is the business of [`crate::apply`].

use crate::batch::MintBatches;
use crate::load::Loads;
use crate::payment::PaymentView;
use crate::project::{Stamp, project, text, time};
use crate::record::RecordView;
use crate::tally::Tally;
use crate::token::TokenView;
use crate::units::UnitsIn;
use alloy_primitives::Address;
use chrono::{DateTime, Utc};
use domain::{Event, OpsEvent, OrderEvent, PaymentId, RecordEvent, Recorded, TokenEvent};
use std::collections::{BTreeMap, BTreeSet};

/// Length to which a reason is shortened, in characters.
const SET_ASIDE_REASON_CHARS: usize = 500;

/// An event that changed no row although it should have, or that reports a message given up on: for a person to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Stream sequence.
    pub seq: u64,
    /// Which of the three.
    pub kind: SetAsideKind,
    /// For people.
    pub reason: String,
    /// When the stream stored it.
    pub recorded_at: DateTime<Utc>,
}

/// Why an event is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetAsideKind {
    /// Not an event of ours.
    Undecodable,
    /// Contradicts the past of its order or token: no decider of ours wrote it.
    Impossible,
    /// A consumer reports a message that it can never handle.
    ParkedMessage,
}

impl SetAsideKind {
    /// The name in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::Impossible => "impossible",
            Self::ParkedMessage => "parked_message",
        }
    }
}

/// The rows that a batch touches.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub payments: BTreeMap<PaymentId, PaymentView>,
    pub tokens: BTreeMap<Address, TokenView>,
    /// Records without an order; also those with the id of a payment.
    pub records: BTreeMap<PaymentId, RecordView>,
    /// Payments whose rows differ from the loaded ones.
    pub changed_payments: BTreeSet<PaymentId>,
    pub changed_tokens: BTreeSet<Address>,
    pub changed_records: BTreeSet<PaymentId>,
    pub set_aside: Vec<SetAside>,
    pub tally: Tally,
    pub mint_batches: MintBatches,
    pub loads: Loads,
}

impl Rows {
    /// Folds one event into its rows.
    pub fn apply(&mut self, recorded: &Recorded) {
        let at = Stamp { seq: recorded.seq, recorded_at: recorded.recorded_at };
        let refused = match &recorded.event {
            Err(why) => Err((SetAsideKind::Undecodable, why.to_string())),
            Ok(Event::Order(id, event)) => self.order(*id, event, at).map_err(|why| (SetAsideKind::Impossible, why)),
            Ok(Event::Record(id, event)) => self.record(*id, event, at).map_err(|why| (SetAsideKind::Impossible, why)),
            Ok(Event::Token(token, TokenEvent::Registered(terms))) => match self.tokens.get(token) {
                Some(_) => Err((SetAsideKind::Impossible, format!("the token {token} is registered already"))),
                None => {
                    self.tokens.insert(*token, TokenView::registered(terms, at));
                    self.changed_tokens.insert(*token);
                    Ok(())
                }
            },
            Ok(Event::Ops(OpsEvent::Parked(parked))) => Err((
                SetAsideKind::ParkedMessage,
                format!(
                    "{} gave up on sequence {} ({}): {}",
                    parked.consumer, parked.sequence, parked.subject, parked.reason
                ),
            )),
            // Of a lane's history only the mint transactions are shown; the copy has all of it.
            Ok(Event::Signer(lane, event)) => {
                self.mint_batches.note(lane.signer, event, at);
                Ok(())
            }
            // A key concerns only who writes it; a stop, who obeys it; a redrive, whose message it is.
            Ok(Event::Key(..) | Event::Ops(OpsEvent::Redriven(..) | OpsEvent::Stopped(..) | OpsEvent::Resumed(..))) => {
                Ok(())
            }
        };
        if let Err((kind, reason)) = refused {
            let recorded_at = time(recorded.recorded_at);
            self.set_aside.push(SetAside { seq: recorded.seq, kind, reason: text(&shortened(&reason)), recorded_at });
        }
    }

    fn order(&mut self, id: PaymentId, event: &OrderEvent, at: Stamp) -> Result<(), String> {
        let row = project(self.payments.get(&id), id, event, at).map_err(|e| format!("order {id}: {e}"))?;
        let before = self.payments.get(&id);
        // A token that is not in the catalogue counts nothing: the API sells none of those. Nor does an order whose payment has
        // a record that was found: the record counts.
        let is_found = self.records.contains_key(&id);
        if let Some(token) = self.tokens.get_mut(&row.token).filter(|_| !is_found) {
            let counted = token.count(before, &row);
            if counted.ok_or_else(|| format!("order {id}: {OUT_OF_RANGE}"))? {
                self.changed_tokens.insert(row.token);
            }
        }
        self.tally.count(before, &row);
        if let OrderEvent::PaymentSubmitted(..) = event {
            self.loads.submitted(row.token, at.recorded_at);
        }
        self.payments.insert(id, row);
        self.changed_payments.insert(id);
        Ok(())
    }

    fn record(&mut self, id: PaymentId, event: &RecordEvent, at: Stamp) -> Result<(), String> {
        let before = self.records.get(&id);
        let row = RecordView::after(before, id, event, at).map_err(|e| format!("record {id}: {e}"))?;
        let was = before.map_or(UnitsIn::NONE, RecordView::units);
        if let Some(token) = self.tokens.get_mut(&row.token) {
            let counted = token.shift(row.quantity, was, row.units(), at.seq);
            counted.ok_or_else(|| format!("record {id}: {OUT_OF_RANGE}"))?;
            self.changed_tokens.insert(row.token);
        }
        let order = self.payments.get(&id).filter(|_| before.is_none());
        if let Some(order) = order
            && let Some(token) = self.tokens.get_mut(&order.token)
        {
            token.discount(order, at.seq).ok_or_else(|| format!("order {id}: {OUT_OF_RANGE}"))?;
            self.changed_tokens.insert(order.token);
        }
        if let RecordEvent::Found(found) = event {
            self.loads.found(found.token, at.recorded_at);
        }
        self.records.insert(id, row);
        self.changed_records.insert(id);
        Ok(())
    }
}

/// The reason why an event is set aside that would move a counter out of its range.
const OUT_OF_RANGE: &str = "more or fewer units than a token can have";

/// Shortens a reason. A foreign message can be a reason of 64 KB: an operator reads the beginning, and the copy has the
/// rest.
fn shortened(reason: &str) -> String {
    reason.chars().take(SET_ASIDE_REASON_CHARS).collect()
}

/// The orders that `batch` speaks of, and the records.
pub(crate) fn orders(batch: &[Recorded]) -> Vec<PaymentId> {
    let ids: BTreeSet<PaymentId> = batch
        .iter()
        .filter_map(|recorded| match &recorded.event {
            Ok(Event::Order(id, _) | Event::Record(id, _)) => Some(*id),
            _ => None,
        })
        .collect();
    ids.into_iter().collect()
}

/// The tokens that `batch` may change, where `loaded` are the rows of its orders.
pub(crate) fn tokens(batch: &[Recorded], loaded: &BTreeMap<PaymentId, PaymentView>) -> Vec<Address> {
    let mut tokens: BTreeSet<Address> = loaded.values().map(|payment| payment.token).collect();
    for recorded in batch {
        match &recorded.event {
            Ok(Event::Token(token, _)) => tokens.insert(*token),
            Ok(Event::Record(_, RecordEvent::Found(found))) => tokens.insert(found.token),
            Ok(Event::Record(_, RecordEvent::Minted(end) | RecordEvent::Returned(end))) => tokens.insert(end.token),
            Ok(Event::Order(_, OrderEvent::PaymentRequested(request))) => {
                let domain::Purchase::Mint { token, .. } = request.purchase;
                tokens.insert(token)
            }
            _ => false,
        };
    }
    tokens.into_iter().collect()
}
