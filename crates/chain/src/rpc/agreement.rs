//! When providers agree: pure.

/// What a node says, as far as agreement is concerned.
pub(crate) trait Answer: PartialEq {
    /// Whether an honest node that is merely behind could say so: a null, or "not deep yet". Such an answer contradicts
    /// nobody.
    fn may_lag(&self) -> bool;
}

impl<T: PartialEq> Answer for Option<T> {
    fn may_lag(&self) -> bool {
        self.is_none()
    }
}

/// What several answers are worth together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// Two say the same: this one's.
    Agreed(usize),
    /// No two do, and lag explains it.
    Undecided,
    /// No two do, and one of them is wrong (F36).
    Contradiction,
}

/// Looks for two that say the same.
pub(crate) fn agreement<T: Answer>(answers: &[T]) -> Agreement {
    let twice = answers.iter().enumerate().find(|(index, answer)| answers[..*index].contains(answer));
    if let Some((index, _)) = twice {
        return Agreement::Agreed(index);
    }
    match answers.iter().filter(|answer| !answer.may_lag()).count() {
        0 | 1 => Agreement::Undecided,
        _ => Agreement::Contradiction,
    }
}

/// The highest that two have reached: what one alone claims beyond it counts for nothing.
pub(crate) fn reached_by_two<T, K: Ord>(mut answers: Vec<T>, by: impl Fn(&T) -> K) -> Option<T> {
    answers.sort_by_key(|answer| std::cmp::Reverse(by(answer)));
    (answers.len() >= 2).then(|| answers.swap_remove(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Agreement::{Agreed, Contradiction, Undecided};

    #[test]
    fn f35_f36_two_decide_and_nobody_alone() {
        let cases: [(&[Option<u8>], Agreement); 10] = [
            (&[], Undecided),
            (&[Some(1)], Undecided),
            (&[None], Undecided),
            (&[Some(1), Some(1)], Agreed(1)),
            (&[None, None], Agreed(1)),
            (&[Some(1), None], Undecided),
            (&[Some(1), Some(2)], Contradiction),
            (&[Some(1), Some(2), None], Contradiction),
            (&[Some(1), Some(2), Some(1)], Agreed(2)),
            (&[None, Some(2), Some(2)], Agreed(2)),
        ];
        for (answers, expected) in cases {
            assert_eq!(agreement(answers), expected, "{answers:?}");
        }
    }

    #[test]
    fn f32_f34_a_height_counts_when_two_have_reached_it() {
        let cases: [(&[u64], Option<u64>); 6] = [
            (&[], None),
            (&[7], None),
            (&[7, 9], Some(7)),
            (&[9, 7], Some(7)),
            (&[7, 8, 9_000], Some(8)),
            (&[7, 7, 0], Some(7)),
        ];
        for (answers, expected) in cases {
            assert_eq!(reached_by_two(answers.to_vec(), |n| *n), expected, "{answers:?}");
        }
    }
}
