//! Replays the committed corpus, seeds and finds, through the functions that the fuzzer uses.

use properties::{Outcome, TARGETS};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

fn corpus(target: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
    let mut files: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn no_input_of_the_corpus_breaks_a_promise() {
    for (name, target) in TARGETS {
        let (mut taken, mut refused) = (0, 0);
        for path in corpus(name) {
            let bytes = fs::read(&path).unwrap();
            match catch_unwind(AssertUnwindSafe(|| target(&bytes))) {
                Ok(Outcome::Taken) => taken += 1,
                Ok(Outcome::Refused) => refused += 1,
                Err(_) => panic!("{} breaks a promise, the one above", path.display()),
            }
        }
        assert!(taken > 0 && refused > 0, "{name}: {taken} taken, {refused} refused: a corpus has both");
    }
}

/// Otherwise no edit of it would be worth trying.
#[test]
fn the_payment_that_is_edited_is_good_in_both_generations_and_on_both_chains() {
    for mode in ["8", "9", "<", "="] {
        assert_eq!(properties::payment(mode.as_bytes()), Outcome::Taken, "{mode}");
    }
}

/// The corpus is part of every clone of the repository.
#[test]
fn the_corpus_stays_small() {
    let files: Vec<PathBuf> = TARGETS.into_iter().flat_map(|(name, _)| corpus(name)).collect();
    let bytes: u64 = files.iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(files.len() < 300 && bytes < 1_000_000, "{} files, {bytes} bytes", files.len());
}
