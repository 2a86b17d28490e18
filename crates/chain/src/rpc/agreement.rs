//! Agreement between providers, as pure functions.

/// A node's answer that can be compared with another node's.
pub(crate) trait QuorumAnswer: PartialEq {
    /// Returns `true` if an honest node that merely lags could give this answer: a null, or "not deep yet". Such an
    /// answer contradicts no other.
    fn may_lag(&self) -> bool;

    /// The answer if no two are equal and lag explains it. `None`: such a question has no answer yet, which is an error.
    fn undecided() -> Option<Self>
    where
        Self: Sized,
    {
        None
    }
}

impl<T: PartialEq> QuorumAnswer for Option<T> {
    fn may_lag(&self) -> bool {
        self.is_none()
    }
}

/// The result of comparing several answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// Two answers are equal; the index of one of them.
    Agreed(usize),
    /// No two are equal, and lag explains it.
    Undecided,
    /// No two are equal, and one of them is wrong.
    Contradiction,
}

/// Searches for two equal answers.
pub(crate) fn agreement<T: QuorumAnswer>(answers: &[T]) -> Agreement {
    let twice = answers.iter().enumerate().find(|(index, answer)| answers[..*index].contains(answer));
    if let Some((index, _)) = twice {
        return Agreement::Agreed(index);
    }
    match answers.iter().filter(|answer| !answer.may_lag()).count() {
        0 | 1 => Agreement::Undecided,
        _ => Agreement::Contradiction,
    }
}

/// The highest value that two have reached. A value that only one claims is ignored.
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
