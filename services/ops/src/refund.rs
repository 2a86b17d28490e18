//! Asks for a refund: appends `refund.requested` to an order whose money may go back. The operator's lane returns it.

use crate::said::{BadText, Said, said};
use domain::event::{RefundReason, RefundRequest};
use domain::order::{Command, Stage, decide};
use domain::{Event, Order, OrderEvent, PaymentId};
use ledger::{AppendError, ConnectError, Expected, Ledger, LedgerConfig, LedgerError, NewEvent};

/// Appends that may lose the race against a service before the command gives up.
const TRIES: usize = 10;

/// The result of asking for a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundAsked {
    /// The refund is asked for now.
    Now,
    /// The refund was asked for before, or the payer has the money back. Holds the stage of the order.
    Before(Stage),
}

/// The reason why no refund was asked for. Nothing is written, except perhaps after `Append`.
#[derive(Debug, thiserror::Error)]
pub enum NotAsked {
    /// A text is empty or longer than its schema allows.
    #[error("--{name} must have 1 to {most} characters")]
    Text {
        /// The option.
        name: &'static str,
        /// Its maximum length.
        most: usize,
    },
    /// No order has this id.
    #[error("no order has the id {0}: it is the paymentQueueId of the api's answer")]
    Unknown(PaymentId),
    /// The money cannot go back at this stage.
    #[error("nothing was asked for, the order is {stage}: {why}")]
    Stage {
        /// The stage of the order.
        stage: &'static str,
        /// The consequence for a refund.
        why: &'static str,
    },
    /// NATS: see [`ConnectError`].
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The order cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The event cannot be appended. If the outcome is unknown, calling again is safe.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Asks for the refund of the order `id`, in the name of the person `by`, who says `why`. Calling it again changes nothing.
///
/// # Errors
/// [`NotAsked`].
pub async fn refund(config: &LedgerConfig, id: PaymentId, by: &str, why: &str) -> Result<RefundAsked, NotAsked> {
    let Said { by, why } = said(by, why).map_err(|BadText { name, most }| NotAsked::Text { name, most })?;
    let request = RefundRequest { reason: RefundReason::Operator, by, detail: why };
    let ledger = Ledger::connect(config, crate::SOURCE).await?;
    for _ in 0..TRIES {
        let loaded = ledger.load_order(id).await?;
        let order = loaded.state.as_ref().ok_or(NotAsked::Unknown(id))?;
        let Some(event) = asked(order, request.clone())? else { return Ok(RefundAsked::Before(order.stage())) };
        let (event, expected) = (Event::Order(id, event), Expected::Version(loaded.version));
        match ledger.append(&[NewEvent { event, expected, trace: loaded.trace }]).await {
            Ok(_) => return Ok(RefundAsked::Now),
            // The order has moved on, perhaps to its end.
            Err(AppendError::WrongVersion) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(AppendError::WrongVersion.into())
}

/// The event that asks for the refund of `order`; `None` if it was asked for before.
fn asked(order: &Order, request: RefundRequest) -> Result<Option<OrderEvent>, NotAsked> {
    let stage = order.stage();
    let refused = |why| Err(NotAsked::Stage { stage: stage.name(), why });
    match (stage, decide(Some(order), Command::RequestRefund(request))) {
        (Stage::Minted, _) => refused("the units are minted, and the token returns no money for them"),
        (_, Ok(decided)) => Ok(decided),
        (Stage::Failed, Err(_)) => refused("the payer was never charged"),
        (Stage::Minting, Err(_)) => refused("try again when its transaction is decided, unless it is minted then"),
        (Stage::Settling, Err(_)) => refused("try again when its transaction is decided"),
        (Stage::Reverted, Err(_)) => refused("the payment fell out of the chain, try again when it is confirmed again"),
        (_, Err(_)) => refused("the payer is not charged yet"),
    }
}
