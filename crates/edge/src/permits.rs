//! Permits that are held for a while, such as connections and streams: limited for each client and in total.

use crate::client::ClientIp;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

/// Permits in use. A client without one has no entry.
pub struct Permits {
    per_client: NonZeroUsize,
    total: NonZeroUsize,
    held: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    total: usize,
    by_client: HashMap<ClientIp, usize>,
}

/// One permit. Dropping it returns it.
pub struct Permit {
    permits: Arc<Permits>,
    client: ClientIp,
}

/// Why there is no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPermit {
    /// This client holds as many as one client may.
    Client,
    /// All clients together hold as many as there are.
    All,
}

impl Permits {
    /// `per_client` permits for each client, and `total` for all.
    pub fn new(per_client: NonZeroUsize, total: NonZeroUsize) -> Arc<Self> {
        Arc::new(Self { per_client, total, held: Mutex::default() })
    }

    /// A permit for this client.
    ///
    /// # Errors
    /// [`NoPermit`]; then nothing is held.
    pub fn enter(self: &Arc<Self>, client: ClientIp) -> Result<Permit, NoPermit> {
        self.held(|held| {
            let by_client = held.by_client.get(&client).copied().unwrap_or(0);
            if by_client >= self.per_client.get() {
                return Err(NoPermit::Client);
            }
            if held.total >= self.total.get() {
                return Err(NoPermit::All);
            }
            held.total += 1;
            held.by_client.insert(client, by_client + 1);
            Ok(())
        })?;
        Ok(Permit { permits: Arc::clone(self), client })
    }

    fn held<T>(&self, change: impl FnOnce(&mut Counts) -> T) -> T {
        change(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.permits.held(|held| {
            held.total -= 1;
            match held.by_client.get_mut(&self.client) {
                Some(count) if *count > 1 => *count -= 1,
                _ => {
                    held.by_client.remove(&self.client);
                }
            }
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn client(last: u8) -> ClientIp {
        std::net::IpAddr::from(Ipv4Addr::new(203, 0, 113, last)).into()
    }

    #[test]
    fn b52_a_permit_is_counted_for_its_client_and_for_all_and_is_free_when_dropped() {
        let permits = Permits::new(2.try_into().unwrap(), 3.try_into().unwrap());
        let enter = |last| permits.enter(client(last));
        let first = enter(1).unwrap();
        let _second = enter(1).unwrap();
        assert_eq!(enter(1).err(), Some(NoPermit::Client));
        let third = enter(2).unwrap();
        assert_eq!(enter(3).err(), Some(NoPermit::All));
        assert_eq!(enter(1).err(), Some(NoPermit::Client), "one's own fault is named first");
        drop(third);
        drop(first);
        let _again = enter(1).unwrap();
        assert_eq!(permits.held(|held| (held.total, held.by_client.len())), (2, 1), "who left is forgotten");
    }
}
