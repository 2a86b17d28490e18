//! Whether this process works any lane now. An instance that stands by takes no work in hand: another instance would wait
//! for it.

use runtime::CancellationToken;
use tokio::sync::watch;

/// The number of lanes that this process works. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Duty(watch::Sender<usize>);

/// One lane is worked for as long as this lives.
#[derive(Debug)]
pub struct OnDuty(watch::Sender<usize>);

impl Default for Duty {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Duty {
    /// A lane is worked from now on.
    pub fn begin(&self) -> OnDuty {
        self.0.send_modify(|lanes| *lanes += 1);
        OnDuty(self.0.clone())
    }

    /// Runs `shift` with a token while a lane is worked, again and again until `stop`. The token is cancelled when the
    /// last lane is gone, or by `stop`; `shift` then ends by itself.
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
