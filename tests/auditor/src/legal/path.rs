//! The path of an order through its events.

use super::Numbered;
use crate::decode::event::Event;
use std::collections::BTreeMap;

/// Where the payment of an order stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Payment {
    /// Nothing has happened yet.
    #[default]
    New,
    Requested,
    Deferred,
    /// Made around the token.
    Parked,
    Settling,
    Reverted,
    Paid,
    Failed,
}

/// Where its mint stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mint {
    /// Nothing was paid so far.
    #[default]
    NotYet,
    /// In no transaction.
    Owed,
    Minting,
    /// In its transaction, which fell out of the chain.
    Reverted,
    Deferred,
    Parked,
    Minted,
}

/// Where the way back of its money stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refund {
    /// Not asked for.
    #[default]
    Unasked,
    /// In no transaction.
    Owed,
    Refunding,
    /// In its transaction, which fell out of the chain.
    Reverted,
    Deferred,
    Parked,
    /// The payer has the money.
    Back,
}

/// An order: each leg goes its own way once the payment has fallen out of the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub payment: Payment,
    pub mint: Mint,
    pub refund: Refund,
    /// A service has given up one of its messages.
    pub held: bool,
}

/// Payments that are neither proven nor dead, and that no operator has to look at.
const OPEN: &[Payment] = &[Payment::Requested, Payment::Deferred, Payment::Settling, Payment::Reverted];
/// Payments that are neither proven nor dead.
const UNPAID: &[Payment] =
    &[Payment::Requested, Payment::Deferred, Payment::Settling, Payment::Reverted, Payment::Parked];
/// Payments that a lane may take.
const DUE: &[Payment] = &[Payment::Requested, Payment::Deferred, Payment::Parked];
const ALIVE: &[Payment] =
    &[Payment::Requested, Payment::Deferred, Payment::Settling, Payment::Reverted, Payment::Parked, Payment::Paid];
const EVERY: &[Payment] = &[
    Payment::Requested,
    Payment::Deferred,
    Payment::Settling,
    Payment::Reverted,
    Payment::Parked,
    Payment::Paid,
    Payment::Failed,
];
const ANY: &[Mint] =
    &[Mint::NotYet, Mint::Owed, Mint::Minting, Mint::Reverted, Mint::Deferred, Mint::Parked, Mint::Minted];
const UNMINTED: &[Mint] = &[Mint::NotYet, Mint::Owed, Mint::Minting, Mint::Reverted, Mint::Deferred, Mint::Parked];
const OWED: &[Mint] = &[Mint::Owed, Mint::Minting, Mint::Reverted, Mint::Deferred, Mint::Parked];
/// Mints that are in no transaction.
const IDLE: &[Mint] = &[Mint::Owed, Mint::Deferred, Mint::Parked];
/// Mints that are in a transaction.
const SENT: &[Mint] = &[Mint::Minting, Mint::Reverted];
const UNASKED: &[Refund] = &[Refund::Unasked];
/// Refunds that no transaction was made for.
const UNSENT: &[Refund] = &[Refund::Unasked, Refund::Owed];
/// Refunds that are in a transaction.
const GOING: &[Refund] = &[Refund::Refunding, Refund::Reverted];
const WAITING: &[Refund] = &[Refund::Owed, Refund::Deferred, Refund::Parked];
const ASKED: &[Refund] = &[Refund::Owed, Refund::Refunding, Refund::Reverted, Refund::Deferred];
const NOT_BACK: &[Refund] =
    &[Refund::Unasked, Refund::Owed, Refund::Refunding, Refund::Reverted, Refund::Deferred, Refund::Parked];
const ALL: &[Refund] = &[
    Refund::Unasked,
    Refund::Owed,
    Refund::Refunding,
    Refund::Reverted,
    Refund::Deferred,
    Refund::Parked,
    Refund::Back,
];

/// The leg that an event moves, and where to.
#[derive(Clone, Copy)]
enum To {
    Pays(Payment),
    Mints(Mint),
    Returns(Refund),
    /// No leg moves.
    Holds(bool),
}

/// An event, the legs that it may follow, and where it leads.
type Step = (&'static str, &'static [Payment], &'static [Mint], &'static [Refund], To);

/// The steps that an order may take. The first row that fits counts. A mint without its payment is settled by its
/// transaction alone. A payment fails only while its mint and its refund are merely owed: both go by the record of their
/// payment, which has one end. For what is to go back nothing is charged, and nothing is minted but
/// what may be in a block already. A payer may take the money back, whether anybody has asked for it or not.
#[rustfmt::skip]
static STEPS: &[Step] = {
    use {Mint as M, Payment as P, Refund as R};
    use To::{Holds, Mints, Pays, Returns};
    &[
        ("payment.requested", &[P::New],             &[M::NotYet],            UNASKED,    Pays(P::Requested)),
        ("order.held",        EVERY,                 ANY,                     ALL,        Holds(true)),
        ("order.released",    EVERY,                 ANY,                     ALL,        Holds(false)),
        ("payment.submitted", DUE,                   ANY,                     UNASKED,    Pays(P::Settling)),
        ("payment.deferred",  OPEN,                  ANY,                     ALL,        Pays(P::Deferred)),
        ("payment.parked",    OPEN,                  ANY,                     ALL,        Pays(P::Parked)),
        ("payment.confirmed", UNPAID,                &[M::NotYet],            ALL,        Pays(P::Paid)),
        ("payment.failed",    OPEN,                  &[M::NotYet, M::Owed],   UNSENT,     Pays(P::Failed)),
        ("payment.reverted",  &[P::Paid],            ANY,                     ALL,        Pays(P::Reverted)),
        ("payment.restored",  UNPAID,                ANY,                     ALL,        Pays(P::Paid)),
        ("mint.submitted",    &[P::Paid],            &[M::Owed, M::Deferred], UNASKED,    Mints(M::Minting)),
        ("mint.deferred",     &[P::Paid],            &[M::Owed, M::Deferred], UNASKED,    Mints(M::Deferred)),
        ("mint.deferred",     ALIVE,                 SENT,                    ALL,        Mints(M::Deferred)),
        ("mint.parked",       &[P::Paid],            &[M::Owed, M::Deferred], UNASKED,    Mints(M::Parked)),
        ("mint.parked",       ALIVE,                 SENT,                    ALL,        Mints(M::Parked)),
        ("mint.redriven",     &[P::Paid],            &[M::Parked],            UNASKED,    Mints(M::Owed)),
        ("mint.confirmed",    ALIVE,                 OWED,                    NOT_BACK,   Mints(M::Minted)),
        ("mint.reverted",     ALIVE,                 &[M::Minted],            ALL,        Mints(M::Reverted)),
        ("mint.restored",     ALIVE,                 OWED,                    NOT_BACK,   Mints(M::Minted)),
        ("refund.requested",  &[P::Paid],            IDLE,                    UNASKED,    Returns(R::Owed)),
        ("refund.requested",  &[P::Parked],          ANY,                     UNASKED,    Returns(R::Owed)),
        ("refund.submitted",  &[P::Paid, P::Parked], &[M::NotYet, M::Owed],   WAITING,    Returns(R::Refunding)),
        ("refund.deferred",   &[P::Paid, P::Parked], UNMINTED,                ASKED,      Returns(R::Deferred)),
        ("refund.deferred",   ALIVE,                 ANY,                     GOING,      Returns(R::Deferred)),
        ("refund.parked",     &[P::Paid, P::Parked], UNMINTED,                ASKED,      Returns(R::Parked)),
        ("refund.parked",     ALIVE,                 ANY,                     GOING,      Returns(R::Parked)),
        ("refund.redriven",   &[P::Paid, P::Parked], UNMINTED,                &[R::Parked], Returns(R::Owed)),
        ("refund.confirmed",  ALIVE,                 UNMINTED,                NOT_BACK,   Returns(R::Back)),
        ("refund.reverted",   ALIVE,                 UNMINTED,                &[R::Back], Returns(R::Reverted)),
        ("refund.restored",   ALIVE,                 UNMINTED,                NOT_BACK,   Returns(R::Back)),
    ]
};

impl Mint {
    /// The name of an order that is paid.
    const fn stage(self) -> &'static str {
        match self {
            Self::NotYet | Self::Owed => "paid",
            Self::Minting | Self::Reverted => "minting",
            Self::Deferred => "mint_deferred",
            Self::Parked => "mint_parked",
            Self::Minted => "minted",
        }
    }
}

impl Refund {
    /// The name of an order whose money is to go back; `None` if it is not.
    const fn stage(self) -> Option<&'static str> {
        match self {
            Self::Unasked => None,
            Self::Owed => Some("refund_requested"),
            Self::Refunding | Self::Reverted => Some("refunding"),
            Self::Deferred => Some("refund_deferred"),
            Self::Parked => Some("refund_parked"),
            Self::Back => Some("refunded"),
        }
    }
}

impl State {
    /// The one name that the order's row has.
    pub fn stage(self) -> &'static str {
        match (self.payment, self.mint, self.refund.stage()) {
            (_, _, Some(refund)) if self.refund == Refund::Back => refund,
            (Payment::New, ..) => "nothing",
            (Payment::Requested, ..) => "requested",
            (Payment::Deferred, ..) => "deferred",
            (Payment::Settling, ..) => "settling",
            (Payment::Reverted, ..) => "reverted",
            (Payment::Failed, ..) => "failed",
            (Payment::Paid, Mint::Minted, _) => "minted",
            (Payment::Paid | Payment::Parked, _, Some(refund)) => refund,
            (Payment::Parked, _, None) => "payment_parked",
            (Payment::Paid, mint, None) => mint.stage(),
        }
    }

    /// The legs that the stage hides: a mint while the payment is open, and money that is to go back.
    pub fn beside(self) -> String {
        let sent = [Mint::Minting, Mint::Reverted, Mint::Minted].contains(&self.mint);
        let mint = (sent && UNPAID.contains(&self.payment)).then(|| self.mint.stage());
        let hidden = mint.into_iter().chain(self.refund.stage()).filter(|name| *name != self.stage());
        hidden.map(|name| format!(", {name}")).collect()
    }

    /// Returns `true` if an order may stay here permanently: in any other stage somebody still owes it something. A
    /// payment around the token is no end where an `operator` is at work.
    pub fn is_end(self, operator: bool) -> bool {
        match self.stage() {
            "failed" | "minted" | "mint_parked" | "refunded" | "refund_parked" => true,
            "payment_parked" => !operator,
            _ => false,
        }
    }

    /// The state after a step. A leg does not wait if its time has not come: it is owed again.
    fn after(self, to: To) -> Self {
        let mut next = match to {
            To::Pays(payment) => Self { payment, ..self },
            To::Mints(mint) => Self { mint, ..self },
            To::Returns(refund) => Self { refund, ..self },
            To::Holds(_) => self,
        };
        // A hold ends with whatever follows it.
        next.held = matches!(to, To::Holds(true));
        let is_paid = next.payment == Payment::Paid;
        let is_due = match next.mint {
            Mint::NotYet => !is_paid,
            Mint::Deferred | Mint::Parked => is_paid && next.refund == Refund::Unasked,
            _ => true,
        };
        if !is_due {
            next.mint = Mint::Owed;
        }
        let is_there = is_paid || next.payment == Payment::Parked;
        let waits = [Refund::Deferred, Refund::Parked].contains(&next.refund);
        if waits && !(is_there && next.mint != Mint::Minted) {
            next.refund = Refund::Owed;
        }
        next
    }
}

/// The history of an order so far.
#[derive(Clone, Debug, Default)]
pub struct Path {
    pub state: State,
    /// How often each event came.
    said: BTreeMap<&'static str, u64>,
}

impl Path {
    /// One event further. An event that may not come leaves everything as it was; the error says after what it came.
    pub fn step(&mut self, event: &Event) -> Result<State, String> {
        let said = |name: &str| self.said.get(name).copied().unwrap_or_default();
        let in_turn = match event.kind.numbered {
            Numbered::Once => said(event.kind.name) == 0,
            Numbered::Answers(what) | Numbered::Of(what) => said(event.kind.name) < said(what),
            Numbered::Counted | Numbered::Nonce | Numbered::NonceCounted => true,
        };
        let State { payment, mint, refund, held } = self.state;
        let in_turn = in_turn && (held || event.kind.name != "order.released");
        let step = STEPS.iter().find(|(name, payments, mints, refunds, _)| {
            *name == event.kind.name
                && payments.contains(&payment)
                && mints.contains(&mint)
                && refunds.contains(&refund)
        });
        let Some((.., to)) = step.filter(|_| in_turn) else {
            let (stage, beside) = (self.state.stage(), self.state.beside());
            return Err(format!("{} at sequence {} after {stage}{beside}", event.kind.name, event.seq));
        };
        self.state = self.state.after(*to);
        let count = self.said.entry(event.kind.name).or_default();
        *count = count.saturating_add(1);
        Ok(self.state)
    }
}
