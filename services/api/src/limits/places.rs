//! Places that are held for a while: so many for one client, so many for all.

use super::ClientIp;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

/// Holds an entry per client that has a place, and none for others.
pub(crate) struct Places {
    per_client: NonZeroUsize,
    total: NonZeroUsize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    total: usize,
    by_client: HashMap<ClientIp, usize>,
}

/// One place; free again when dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    client: ClientIp,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// This client holds all that one may.
    Client,
    /// All clients together do.
    All,
}

impl Places {
    pub(crate) fn new(per_client: NonZeroUsize, total: NonZeroUsize) -> Arc<Self> {
        Arc::new(Self { per_client, total, held: Mutex::default() })
    }

    /// A place for this client.
    ///
    /// # Errors
    /// [`Full`]; then nothing is held.
    pub(crate) fn enter(self: &Arc<Self>, client: ClientIp) -> Result<Place, Full> {
        self.held(|held| {
            let by_client = held.by_client.get(&client).copied().unwrap_or(0);
            if by_client >= self.per_client.get() {
                return Err(Full::Client);
            }
            if held.total >= self.total.get() {
                return Err(Full::All);
            }
            held.total += 1;
            held.by_client.insert(client, by_client + 1);
            Ok(())
        })?;
        Ok(Place { places: Arc::clone(self), client })
    }

    fn held<T>(&self, change: impl FnOnce(&mut Held) -> T) -> T {
        change(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.held(|held| {
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
    fn b52_a_place_is_counted_for_its_client_and_for_all_and_is_free_when_dropped() {
        let places = Places::new(2.try_into().unwrap(), 3.try_into().unwrap());
        let enter = |last| places.enter(client(last));
        let first = enter(1).unwrap();
        let _second = enter(1).unwrap();
        assert_eq!(enter(1).err(), Some(Full::Client));
        let third = enter(2).unwrap();
        assert_eq!(enter(3).err(), Some(Full::All));
        assert_eq!(enter(1).err(), Some(Full::Client), "one's own fault is named first");
        drop(third);
        drop(first);
        let _again = enter(1).unwrap();
        assert_eq!(places.held(|held| (held.total, held.by_client.len())), (2, 1), "who left is forgotten");
    }
}
