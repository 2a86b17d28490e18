//! An order on its way into a transaction: what was folded, and the version that its append must name.

use domain::order::{Command, decide};
use domain::{Event, Order, PaymentId};
use ledger::{AppendError, Expected, Ledger, Loaded, NewEvent};
use runtime::Undone;

/// An order as folded.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its id.
    pub id: PaymentId,
    /// What its events say.
    pub order: Order,
    version: u64,
    trace: Option<String>,
}

impl Item {
    /// None where the order has no events.
    pub fn of(id: PaymentId, loaded: Loaded<Order>) -> Option<Self> {
        let Loaded { state, version, trace, .. } = loaded;
        state.map(|order| Self { id, order, version, trace })
    }

    /// The event that makes `command` true; none where it is true already, or refused.
    pub fn event(&self, command: Command) -> Option<NewEvent> {
        let event = decide(Some(&self.order), command).ok().flatten()?;
        let event = Event::Order(self.id, event);
        Some(NewEvent { event, expected: Expected::Version(self.version), trace: self.trace.clone() })
    }

    /// Writes that event alone. A lost race is no fault: the order's message is looked at again.
    ///
    /// # Errors
    /// `Transient`: the ledger did not answer, it may be written.
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
