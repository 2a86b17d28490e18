//! The work that waits for a person: messages that a service gave up, and parked legs of orders.

use crate::said::{BadText, Said, said};
use domain::event::{Redrive, RedrivenMessage};
use domain::order::{Command, Stage, decide};
use domain::{Event, OpsEvent, Order, OrderEvent, PaymentId};
use ledger::{
    AppendError, Batch, ConnectError, Expected, GivenUp, HeldOrder, Ledger, LedgerConfig, LedgerError, NewEvent,
};
use std::fmt::{self, Display};
use std::str::FromStr;

/// Appends that may lose the race against a service or another person before the command gives up.
const TRIES: usize = 10;

/// The name of what waits: `<consumer>-<sequence>` for a message, and the id of its order for a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParkedName {
    /// A message that this consumer gave up.
    Message(String, u64),
    /// A leg of this order.
    Leg(PaymentId),
}

/// Something that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedItem {
    /// Its name.
    pub name: ParkedName,
    /// The subject of the message, or the stage of the order.
    pub what: String,
    /// The reason.
    pub why: String,
    /// Since when, if it is a message.
    pub since: Option<String>,
    /// The orders that it holds, each with its stage and its own reason.
    pub orders: Vec<(PaymentId, String)>,
    /// The redrives so far: by whom, and why.
    pub redrives: Vec<(String, String)>,
    /// The commands that end it.
    pub acts: &'static str,
}

/// The result of a redrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedriveAsked {
    /// The redrive is written now. Holds the name of the event.
    Now(String),
    /// Nothing is to be done: it was redriven before, and nothing has been given up since.
    Before,
}

/// The reason why nothing was redriven, or nothing can be shown. Nothing is written, except perhaps after `Append`.
#[derive(Debug, thiserror::Error)]
pub enum NotRedriven {
    /// A text is empty or longer than its schema allows.
    #[error("--{name} must have 1 to {most} characters")]
    Text {
        /// The option.
        name: &'static str,
        /// Its maximum length.
        most: usize,
    },
    /// Nothing of this name was ever given up or parked.
    #[error("nothing of the name {0} waits: `ops parked list` names what does")]
    Unknown(ParkedName),
    /// The leg cannot be tried once more at this stage.
    #[error("nothing was redriven, the order is {stage}: {why}")]
    Stage {
        /// The stage of the order.
        stage: &'static str,
        /// The reason.
        why: &'static str,
    },
    /// NATS: see [`ConnectError`].
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Something cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The event cannot be appended. If the outcome is unknown, calling again is safe.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Everything that waits for a person, by the ledger: messages that were given up and not redriven since, unless every order
/// that they held has moved on, and the parked legs of orders.
///
/// # Errors
/// [`NotRedriven`]: the ledger cannot be read.
pub async fn parked_list(config: &LedgerConfig) -> Result<Vec<ParkedItem>, NotRedriven> {
    let ledger = Ledger::connect(config, crate::SOURCE).await?;
    let mut items = Vec::new();
    for given_up in ledger.given_up().await?.iter().filter(|it| it.is_set_aside()) {
        let of_orders = orders_of(&ledger, given_up).await?;
        let held = of_orders.iter().any(|order| is_held(order, given_up));
        if held || of_orders.is_empty() {
            items.push(of_message(&ledger, given_up, &of_orders).await?);
        }
    }
    let ids = ledger.once_parked().await?;
    let mut orders = ledger.load_orders(&ids).await?;
    let order = |id| Some((id, orders.remove(&id)?.ok()?.state?));
    let legs = ids.into_iter().filter_map(order).filter_map(|(id, order)| of_leg(id, &order));
    items.extend(legs);
    Ok(items)
}

/// One thing that waits, or a message that once did.
///
/// # Errors
/// [`NotRedriven`].
pub async fn parked_show(config: &LedgerConfig, name: &ParkedName) -> Result<ParkedItem, NotRedriven> {
    let ledger = Ledger::connect(config, crate::SOURCE).await?;
    match name {
        ParkedName::Message(..) => {
            let given_up = find(&ledger, name).await?;
            let of_orders = orders_of(&ledger, &given_up).await?;
            of_message(&ledger, &given_up, &of_orders).await
        }
        ParkedName::Leg(id) => {
            let order = ledger.load_order(*id).await?.state;
            order.and_then(|order| of_leg(*id, &order)).ok_or_else(|| NotRedriven::Unknown(name.clone()))
        }
    }
}

/// Has it tried once more, in the name of the person `by`, who says `why`. The service concerned acts. Calling it again
/// changes nothing before that service has given up again.
///
/// # Errors
/// [`NotRedriven`].
pub async fn redrive(
    config: &LedgerConfig,
    name: &ParkedName,
    by: &str,
    why: &str,
) -> Result<RedriveAsked, NotRedriven> {
    let Said { by, why } = said(by, why).map_err(|BadText { name, most }| NotRedriven::Text { name, most })?;
    let redrive = Redrive { by, detail: why };
    let ledger = Ledger::connect(config, crate::SOURCE).await?;
    for _ in 0..TRIES {
        let (batch, written) = match name {
            ParkedName::Message(..) => {
                let given_up = find(&ledger, name).await?;
                if !given_up.is_set_aside() {
                    return Ok(RedriveAsked::Before);
                }
                message_redriven(&orders_of(&ledger, &given_up).await?, &given_up, &redrive)
            }
            ParkedName::Leg(id) => {
                let loaded = ledger.load_order(*id).await?;
                let order = loaded.state.as_ref().ok_or_else(|| NotRedriven::Unknown(name.clone()))?;
                let Some(event) = leg_redriven(order, redrive.clone())? else { return Ok(RedriveAsked::Before) };
                let event = Event::Order(*id, event);
                let (written, expected) = (ledger::subject(&event), Expected::Version(loaded.version));
                (NewEvent { event, expected, trace: loaded.trace }.into(), written)
            }
        };
        match ledger.append(batch).await {
            Ok(_) => return Ok(RedriveAsked::Now(written)),
            // An order has moved on, or another person was faster.
            Err(AppendError::WrongVersion) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(AppendError::WrongVersion.into())
}

/// The append that has a message handled once more. The orders that it holds are released in it.
fn message_redriven(orders: &[HeldOrder], given_up: &GivenUp, redrive: &Redrive) -> (Batch, String) {
    let parked = &given_up.parked;
    let released = orders.iter().filter(|order| is_held(order, given_up)).filter_map(|order| {
        let event = Event::Order(order.id, order.holds.release(redrive.clone())?);
        Some(NewEvent { event, expected: Expected::Version(order.version), trace: order.trace.clone() })
    });
    let n = u32::try_from(given_up.redrives.len()).unwrap_or(u32::MAX).saturating_add(1);
    let Redrive { by, detail } = redrive.clone();
    let of = RedrivenMessage { consumer: parked.consumer.clone(), sequence: parked.sequence, by, detail };
    let event = Event::Ops(OpsEvent::Redriven(n, of));
    let written = ledger::subject(&event);
    (Batch::of(released).sealed_by(NewEvent { event, expected: Expected::Absent, trace: None }), written)
}

/// The event that has the parked leg of `order` tried once more; `None` if it was redriven before.
fn leg_redriven(order: &Order, redrive: Redrive) -> Result<Option<OrderEvent>, NotRedriven> {
    let stage = order.stage();
    let command = match stage {
        Stage::RefundParked | Stage::RefundRequested => Command::RedriveRefund(redrive),
        _ => Command::RedriveMint(redrive),
    };
    let refused = |why| Err(NotRedriven::Stage { stage: stage.name(), why });
    match (stage, decide(Some(order), command)) {
        (_, Ok(decided)) => Ok(decided),
        (Stage::PaymentParked, Err(_)) => refused("the service operator records the payment, or returns it, by itself"),
        (Stage::RefundRequested | Stage::Refunding | Stage::RefundDeferred | Stage::Refunded, Err(_)) => {
            refused("the money goes back, and buys no units")
        }
        (Stage::Minted, Err(_)) => refused("the units are minted"),
        (_, Err(_)) => refused("neither its mint nor its refund is parked"),
    }
}

async fn find(ledger: &Ledger, name: &ParkedName) -> Result<GivenUp, NotRedriven> {
    let is_it = |it: &GivenUp| *name == ParkedName::Message(it.parked.consumer.clone(), it.parked.sequence);
    let found = ledger.given_up().await?.into_iter().find(is_it);
    found.ok_or_else(|| NotRedriven::Unknown(name.clone()))
}

/// The orders that the message concerns, as far as they have a request.
async fn orders_of(ledger: &Ledger, given_up: &GivenUp) -> Result<Vec<HeldOrder>, NotRedriven> {
    let Some(message) = ledger.at(given_up.parked.sequence).await? else { return Ok(Vec::new()) };
    let mut orders = Vec::new();
    for id in ledger.concerned(&message).await? {
        orders.extend(ledger.held_order(id).await?);
    }
    Ok(orders)
}

fn is_held(order: &HeldOrder, by: &GivenUp) -> bool {
    order.is_held_by(&by.parked.consumer, by.parked.sequence)
}

async fn of_message(ledger: &Ledger, given_up: &GivenUp, of_orders: &[HeldOrder]) -> Result<ParkedItem, NotRedriven> {
    let held: Vec<&HeldOrder> = of_orders.iter().filter(|order| is_held(order, given_up)).collect();
    let ids: Vec<PaymentId> = held.iter().map(|order| order.id).collect();
    let loaded = ledger.load_orders(&ids).await?;
    let text = |order: &&HeldOrder| {
        let state = loaded.get(&order.id).and_then(|loaded| loaded.as_ref().ok()?.state.as_ref());
        let stage = state.map_or("its history is impossible", |order| order.stage().name());
        let why = order.holds.present().map(|hold| hold.detail.as_str()).unwrap_or_default();
        (order.id, format!("{stage}, {why}"))
    };
    let parked = &given_up.parked;
    Ok(ParkedItem {
        name: ParkedName::Message(parked.consumer.clone(), parked.sequence),
        what: parked.subject.clone(),
        why: parked.reason.clone(),
        since: Some(given_up.since.format("%FT%TZ").to_string()),
        orders: held.iter().map(text).collect(),
        redrives: given_up.redrives.iter().map(|it| (it.by.clone(), it.detail.clone())).collect(),
        acts: if given_up.is_set_aside() { "redrive, once its cause is gone" } else { "none, it was redriven" },
    })
}

/// The parked leg of an order; `None` if none is parked.
fn of_leg(id: PaymentId, order: &Order) -> Option<ParkedItem> {
    let (parked, acts) = match order.stage() {
        Stage::PaymentParked => (order.payment.parked(), "none, the service operator acts; `ops refund`"),
        Stage::MintParked => (order.mint.parked(), "redrive, once its cause is gone; `ops refund`"),
        Stage::RefundParked => (order.refund.parked(), "redrive, once its cause is gone"),
        _ => return None,
    };
    Some(ParkedItem {
        name: ParkedName::Leg(id),
        what: order.stage().name().to_owned(),
        why: parked.map(|why| why.detail.clone()).unwrap_or_default(),
        since: None,
        orders: Vec::new(),
        redrives: Vec::new(),
        acts,
    })
}

impl Display for ParkedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(consumer, sequence) => write!(f, "{consumer}-{sequence}"),
            Self::Leg(id) => write!(f, "{id}"),
        }
    }
}

impl FromStr for ParkedName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Leg(id));
        }
        let named = text.rsplit_once('-').and_then(|(consumer, seq)| Some((consumer.to_owned(), seq.parse().ok()?)));
        named.map(|(consumer, seq)| Self::Message(consumer, seq)).ok_or("neither <consumer>-<sequence> nor an order")
    }
}

impl Display for ParkedItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, what, why, since, orders, redrives, acts } = self;
        write!(f, "{name}  {what}  {why}")?;
        if let Some(since) = since {
            write!(f, "  since {since}")?;
        }
        for (id, state) in orders {
            write!(f, "\n  holds {id}: {state}")?;
        }
        for (by, why) in redrives {
            write!(f, "\n  redriven by {by}: {why}")?;
        }
        write!(f, "\n  acts: {acts}")
    }
}
