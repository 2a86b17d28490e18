//! The number of lanes that this process works now. A standby instance takes no orders in hand, because another
//! instance would have to wait for them.

use runtime::CancellationToken;
use tokio::sync::watch;

/// The number of lanes that this process works. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Duty(watch::Sender<usize>);

/// Counts one lane as worked until it is dropped.
#[derive(Debug)]
pub struct OnDuty(watch::Sender<usize>);

impl Default for Duty {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Duty {
    /// Counts a lane as worked, until the returned value is dropped.
    pub fn begin(&self) -> OnDuty {
        self.0.send_modify(|lanes| *lanes += 1);
        OnDuty(self.0.clone())
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

impl Drop for OnDuty {
    fn drop(&mut self) {
        self.0.send_modify(|lanes| *lanes = lanes.saturating_sub(1));
    }
}
