//! Records without an order beside a batch of orders. They may not make the orders wait, or fail.

use domain::order::LegState;
use domain::{Order, PaymentId, PaymentKey};
use ledger::{LedgerError, Loaded};
use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Longest trial of records that no order waits for. Orders of the next batch may wait for the lane.
const ALONE_MAX: Duration = Duration::from_secs(2);

/// Runs the trials of orders and of riders concurrently. Riders that are not tried when the orders are have as much time again
/// as the orders took, or [`ALONE_MAX`] without orders. Then they are left behind.
///
/// # Errors
/// The one of the orders.
pub async fn beside<O, E, R: Default>(
    orders: Option<impl Future<Output = Result<O, E>>>,
    riders: impl Future<Output = R>,
) -> Result<(Option<O>, R), E> {
    let (begun, mut riders) = (Instant::now(), pin!(riders));
    let Some(orders) = orders else {
        return Ok((None, timeout(ALONE_MAX, riders).await.unwrap_or_default()));
    };
    let (mut orders, mut tried) = (pin!(orders), None);
    let orders = loop {
        tokio::select! {
            biased;
            orders = &mut orders => break orders?,
            riders = &mut riders, if tried.is_none() => tried = Some(riders),
        }
    };
    let tried = match tried {
        Some(tried) => tried,
        None => timeout(begun.elapsed(), riders).await.unwrap_or_default(),
    };
    Ok((Some(orders), tried))
}

/// Leaves out the keys whose money somebody has asked back: the payer may have ordered with this authorization meanwhile. A
/// mint now would take the refund away. So would one for an order that cannot be read.
pub fn may_ride(
    mut found: Vec<PaymentKey>,
    orders: &HashMap<PaymentId, Result<Loaded<Order>, LedgerError>>,
) -> Vec<PaymentKey> {
    found.retain(|key| match orders.get(&PaymentId::of(*key)) {
        Some(Ok(Loaded { state: Some(order), .. })) => order.refund.state() == LegState::Unasked,
        Some(Ok(Loaded { state: None, .. })) | None => true,
        Some(Err(_)) => false,
    });
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chain::B256;
    use domain::{OrderEvent, examples, order};
    use std::future::pending;
    use tokio::time::sleep;

    async fn after<T>(ms: u64, answer: T) -> T {
        sleep(Duration::from_millis(ms)).await;
        answer
    }

    fn orders(ms: u64) -> impl Future<Output = Result<&'static str, &'static str>> {
        after(ms, Ok("orders"))
    }

    #[tokio::test(start_paused = true)]
    async fn riders_delay_orders_by_no_more_than_the_orders_own_trial() {
        let begun = Instant::now();
        let ms = || u64::try_from(begun.elapsed().as_millis()).unwrap();
        let quick = beside(Some(orders(100)), after(10, vec![1])).await.unwrap();
        assert_eq!((quick, ms()), ((Some("orders"), vec![1]), 100), "both at the same time");
        let late = beside(Some(orders(100)), after(150, vec![1])).await.unwrap();
        assert_eq!((late, ms()), ((Some("orders"), vec![1]), 250));
        let hanging = beside(Some(orders(100)), pending::<Vec<u8>>()).await.unwrap();
        assert_eq!((hanging, ms()), ((Some("orders"), vec![]), 450));
        let failed = beside(Some(after(5, Err::<(), _>("no node"))), pending::<Vec<u8>>()).await;
        assert_eq!((failed, ms()), (Err("no node"), 455));
        let none = None::<std::future::Ready<Result<(), ()>>>;
        assert_eq!((beside(none, pending::<Vec<u8>>()).await, ms()), (Ok((None, vec![])), 2_455), "the lane goes on");
    }

    #[test]
    fn a_key_whose_money_is_asked_back_does_not_ride() {
        let request = examples::request();
        let (ordered, stranger) = (request.payment_key, PaymentKey(B256::repeat_byte(9)));
        let mut order = order::evolve(None, &OrderEvent::PaymentRequested(Box::new(request))).unwrap();
        let loaded = |state: &Option<Order>| {
            let known = Loaded { state: state.clone(), ..Loaded::default() };
            HashMap::from([(PaymentId::of(ordered), Ok(known)), (PaymentId::of(stranger), Ok(Loaded::default()))])
        };
        assert_eq!(may_ride(vec![ordered, stranger], &loaded(&order)), [ordered, stranger]);
        for event in [
            OrderEvent::PaymentSubmitted(1, examples::submission(7)),
            OrderEvent::PaymentConfirmed(examples::proof()),
            OrderEvent::RefundRequested(examples::refund_request()),
        ] {
            order = order::evolve(order, &event).unwrap();
        }
        assert_eq!(may_ride(vec![ordered, stranger], &loaded(&order)), [stranger]);
        let unreadable = LedgerError::Corrupt { what: "an order".to_owned(), source: "impossible".into() };
        assert!(may_ride(vec![ordered], &HashMap::from([(PaymentId::of(ordered), Err(unreadable))])).is_empty());
    }
}
