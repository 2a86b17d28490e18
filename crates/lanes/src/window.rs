//! How many transactions of a lane may be under way: more while they are mined, fewer when a node has trouble with them.

/// At first.
const START: usize = 8;

/// Nodes keep 16 executable transactions of an account in their pools (geth's `accountslots`), some more in a queue.
const MAX: usize = 16;

/// The number under way. One more for each round of it that ended; half when the node lost or refused one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    size: usize,
    ended: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self { size: START, ended: 0 }
    }
}

impl Window {
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// So many nonces ended.
    pub(crate) fn ended(&mut self, count: usize) {
        self.ended += count;
        if self.ended >= self.size {
            self.ended = 0;
            self.size = (self.size + 1).min(MAX);
        }
    }

    /// The node lost or refused one.
    pub(crate) fn shrink(&mut self) {
        *self = Self { size: (self.size / 2).max(1), ended: 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_slowly_shrinks_fast_and_stays_between_one_and_what_a_pool_keeps() {
        let mut window = Window::default();
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
