//! The number of lanes that this process works now. A process that works none takes no orders in hand, because another
//! instance would have to wait for them.

use runtime::CancellationToken;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// A lane that could not send for this long is off duty. Longer than a short fault of a node, because the end of the
/// duty hands all orders back.
const UNABLE_MAX: Duration = Duration::from_secs(3);

/// The number of lanes that this process works. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Duty(watch::Sender<usize>);

/// Counts one lane as worked until it is dropped, except while the lane cannot send.
#[derive(Debug)]
pub struct OnDuty {
    lanes: watch::Sender<usize>,
    is_on: bool,
    /// Since when the lane cannot send.
    unable: Option<Instant>,
}

impl Default for Duty {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Duty {
    /// Counts a lane as worked, until the returned value is dropped.
    pub fn begin(&self) -> OnDuty {
        let mut on_duty = OnDuty { lanes: self.0.clone(), is_on: false, unable: None };
        on_duty.set(true);
        on_duty
    }

    /// Runs `shift` while at least one lane is worked, again and again until `stop`. The token that `shift` gets is
    /// cancelled when the last lane is gone, or by `stop`; `shift` then ends by itself.
    pub async fn shifts<F: Future<Output = ()>>(
        &self,
        stop: &CancellationToken,
        shift: impl Fn(CancellationToken) -> F,
    ) {
        let mut lanes = self.0.subscribe();
        while !stop.is_cancelled() {
            tokio::select! {
                _ = lanes.wait_for(|lanes| *lanes > 0) => {}
                () = stop.cancelled() => return,
            }
            let off = stop.child_token();
            let mut watched = self.0.subscribe();
            let over = async {
                let _ = watched.wait_for(|lanes| *lanes == 0).await;
                off.cancel();
            };
            tokio::join!(shift(off.clone()), async {
                tokio::select! { () = over => {}, () = off.cancelled() => {} }
            });
        }
    }
}

impl OnDuty {
    /// Records after each look at the lane whether it can send. The duty ends when the lane has not been able to for
    /// [`UNABLE_MAX`], so that another instance gets the orders, and begins again when it can.
    pub fn follow(&mut self, can_send: bool) {
        if can_send {
            self.unable = None;
            self.set(true);
        } else if self.unable.get_or_insert_with(Instant::now).elapsed() >= UNABLE_MAX {
            self.set(false);
        }
    }

    fn set(&mut self, is_on: bool) {
        if is_on != self.is_on {
            self.is_on = is_on;
            self.lanes.send_modify(|lanes| *lanes = if is_on { *lanes + 1 } else { lanes.saturating_sub(1) });
        }
    }
}

impl Drop for OnDuty {
    fn drop(&mut self) {
        self.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_cannot_send_goes_off_duty_after_some_seconds_and_comes_back_when_it_can() {
        let (duty, stop) = (Duty::default(), CancellationToken::new());
        let (began, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let shifts = duty.shifts(&stop, |off| {
            let (began, ended) = (&began, &ended);
            async move {
                began.fetch_add(1, Ordering::SeqCst);
                off.cancelled().await;
                ended.fetch_add(1, Ordering::SeqCst);
            }
        });
        let counts = async || {
            tokio::time::sleep(Duration::from_millis(1)).await;
            (began.load(Ordering::SeqCst), ended.load(Ordering::SeqCst))
        };
        let test = async {
            assert_eq!(counts().await, (0, 0));
            let (mut poor, rich) = (duty.begin(), duty.begin());
            assert_eq!(counts().await, (1, 0));
            // A short fault ends nothing, also if it comes again.
            for can_send in [false, true, false] {
                poor.follow(can_send);
                tokio::time::sleep(UNABLE_MAX / 2).await;
            }
            drop(rich);
            assert_eq!(counts().await, (1, 0));
            tokio::time::sleep(UNABLE_MAX).await;
            (0..2).for_each(|_| poor.follow(false));
            assert_eq!(counts().await, (1, 1), "the last lane that is left cannot send");
            poor.follow(true);
            assert_eq!(counts().await, (2, 1));
            drop(poor);
            assert_eq!(counts().await, (2, 2));
            stop.cancel();
        };
        tokio::join!(shifts, test);
    }
}
