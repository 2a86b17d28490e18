//! The number of transactions of a lane that may be under way. It shrinks when a node has trouble with them, and grows
//! again as they are mined.

/// Nodes keep 16 executable transactions of an account in their pools (geth's `accountslots`), some more in a queue. A
/// lane begins with as many: with half of them, blocks of one second left it idle for a third of its time.
const MAX: usize = 16;

/// The maximum number of transactions under way. It grows by one for each full round of nonces that ended, and halves
/// when the node lost or refused a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    size: usize,
    ended: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self { size: MAX, ended: 0 }
    }
}

impl Window {
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Records that `count` nonces have ended.
    pub(crate) fn ended(&mut self, count: usize) {
        self.ended += count;
        if self.ended >= self.size {
            self.ended = 0;
            self.size = (self.size + 1).min(MAX);
        }
    }

    /// Records that the node lost or refused a transaction.
    pub(crate) fn shrink(&mut self) {
        *self = Self { size: (self.size / 2).max(1), ended: 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shrinks_fast_grows_slowly_and_stays_between_one_and_what_a_pool_keeps() {
        let mut window = Window::default();
        window.shrink();
        window.ended(7);
        assert_eq!(window.size(), 8);
        window.ended(1);
        assert_eq!(window.size(), 9);
        (0..1_000).for_each(|_| window.ended(1));
        assert_eq!(window.size(), 16);
        for expected in [8, 4, 2, 1, 1] {
            window.shrink();
            assert_eq!(window.size(), expected);
        }
    }
}
