//! The pace of looks at waiting orders: bounded whatever their number, and faster while looks succeed.

/// Credits for looks. Each turn adds some, and each success adds more: a neighbour that has come back, or funds that have
/// arrived, let the pace grow with the successes, while hopeless orders cost a fixed number of looks a second.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    per_turn: usize,
    max: usize,
    credits: usize,
}

/// Looks that one success adds.
const WON: usize = 2;

impl Pace {
    /// `per_turn` looks each turn, and at most `max` saved up.
    pub const fn new(per_turn: usize, max: usize) -> Self {
        Self { per_turn, max, credits: 0 }
    }

    /// Begins a turn.
    pub fn turn(&mut self) {
        // Credits of a turn that are not used do not add up.
        self.credits = self.credits.max(self.per_turn);
    }

    /// Records a success: the order of a look no longer waits.
    pub fn won(&mut self) {
        self.credits = (self.credits + WON).min(self.max);
    }

    /// Number of looks that may begin now.
    pub const fn left(&self) -> usize {
        self.credits
    }

    /// Records that `count` looks begin.
    pub fn spend(&mut self, count: usize) {
        self.credits = self.credits.saturating_sub(count);
    }
}

/// Lost races in a row that are followed by another try immediately.
const RACES_MAX: u32 = 3;

/// Counts the races that a worker has lost in a row. A race is lost when another writer was first, so that all orders
/// of a batch are read and judged again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Races(u32);

impl Races {
    /// Records a lost race. Returns true if the batch may be tried again immediately; otherwise its orders must wait.
    pub fn lost(&mut self) -> bool {
        self.0 = self.0.saturating_add(1);
        self.0 <= RACES_MAX
    }

    /// True if the last batch lost a race.
    pub const fn are_on(&self) -> bool {
        self.0 > 0
    }

    /// Records that a batch was handled.
    pub fn over(&mut self) {
        self.0 = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks in `turns` turns, if `success` of them succeed in the same turn.
    fn looks(turns: usize, waiting: usize, success: bool) -> usize {
        let (mut pace, mut looks) = (Pace::new(2, 100), 0);
        for _ in 0..turns {
            pace.turn();
            let count = pace.left().min(waiting);
            pace.spend(count);
            looks += count;
            (0..count).filter(|_| success).for_each(|_| pace.won());
        }
        looks
    }

    #[test]
    fn a_worker_that_loses_race_after_race_waits_until_it_wins_one() {
        let mut races = Races::default();
        assert_eq!([(); 5].map(|()| races.lost()), [true, true, true, false, false]);
        assert!(races.are_on());
        races.over();
        assert!(!races.are_on() && races.lost());
    }

    #[test]
    fn hopeless_orders_cost_a_fixed_number_of_looks_and_success_doubles_the_pace_up_to_its_bound() {
        assert_eq!(looks(10, 50_000, false), 20);
        assert_eq!(looks(5, 50_000, true), 2 + 4 + 8 + 16 + 32);
        assert_eq!(looks(10, 50_000, true), 2 + 4 + 8 + 16 + 32 + 64 + 4 * 100);
        assert_eq!(looks(10, 1, false), 10);
    }
}
