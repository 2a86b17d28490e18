//! An order on its way into a transaction: what was folded, and the version that its append must name.

use domain::order::{Command, decide};
use domain::{Event, Order, PaymentId};
use ledger::{AppendError, Expected, Ledger, Loaded, NewEvent};
use runtime::Undone;

/// An order, folded from its events.
#[derive(Clone, Debug)]
pub struct Item {
    /// The order's id.
    pub id: PaymentId,
    /// State of the order after its events.
    pub order: Order,
    version: u64,
    trace: Option<String>,
}

impl Item {
    /// Returns `None` if the order has no events.
    pub fn of(id: PaymentId, loaded: Loaded<Order>) -> Option<Self> {
        let Loaded { state, version, trace, .. } = loaded;
        state.map(|order| Self { id, order, version, trace })
    }

    /// The event that `command` leads to. Returns `None` if the order is already in that state, or refuses the command.
    pub fn event(&self, command: Command) -> Option<NewEvent> {
        let event = decide(Some(&self.order), command).ok().flatten()?;
        let event = Event::Order(self.id, event);
        Some(NewEvent { event, expected: Expected::Version(self.version), trace: self.trace.clone() })
    }

    /// Appends the event of `command` in an append of its own. A lost race is no error: the order's message is handled
    /// again.
    ///
    /// # Errors
    /// `Transient`: the ledger did not answer; the event may be stored.
    pub async fn record(&self, ledger: &Ledger, command: Command) -> Result<(), Undone> {
        let name = command.name();
        let Some(event) = self.event(command) else { return Ok(()) };
        tracing::info!(payment = %self.id, command = name, "order");
        match ledger.append(&[event]).await {
            Ok(_) | Err(AppendError::WrongVersion) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }
}
