//! Searches final blocks for records that no order stands for, has them written down, and leaves them to the lanes. Nobody
//! can so hold a token's supply with payments that were settled without us.
//!
//! Knows nothing that the chain and the ledger do not know. A process that goes on duty begins at the bookmark, or at the
//! creation of each token.

use crate::early::EarlyRecords;
use crate::reach::{Reach, SearchPage};
use crate::records::RecordLook;
use crate::writing::RecordWriter;
use chain::token::RecordTrace;
use chain::{Address, Chain, ChainError};
use domain::{BlockRef, Event, TokenEvent, TokenTerms};
use ledger::{Bookmark, Ledger};
use runtime::{CancellationToken, Health, SharedSettings, Undone, causes};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// Pause between two looks, as a multiple of the pause before a mint is tried again: 10 s.
const PAUSE: u32 = 5;
/// Pause while there are more final blocks to search.
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// Longest time of a look. A node that lets every search time out could otherwise keep one look busy for hours, and nobody
/// would hear of it.
const LOOK_MAX: Duration = Duration::from_secs(60);
/// Traces that are judged together, unless they are of one block of one token. Their records take some hundred requests.
const TRACES_MAX: usize = 10_000;
/// Pause between two reads of all registrations.
const TOKENS_INTERVAL: Duration = Duration::from_secs(30);
/// Pause between two bookmarks.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// Name of this part in `/readyz`.
const PART: &str = "records without an order";

/// The resources of the search.
#[derive(Clone)]
pub struct Finder {
    pub ledger: Ledger,
    pub chain: Chain,
    pub settings: SharedSettings,
    pub health: Health,
    pub writer: RecordWriter,
}

/// How far the search is.
#[derive(Debug, Default)]
struct Progress {
    reach: Reach,
    early: EarlyRecords,
    /// Every token that was registered up to this sequence is known.
    registered: u64,
    tokens_read: Option<Instant>,
    start: Option<Bookmark>,
    /// The bookmark that was kept last, and when.
    kept: Option<(Instant, Bookmark)>,
}

/// The result of a look at everything that can be searched now.
#[derive(Debug)]
struct Looked {
    /// True if every token is searched up to the final block, except those that have to wait.
    is_done: bool,
    /// The last error of a token that has to wait because of it. It holds up no other token.
    trouble: Option<Undone>,
}

/// A page that no node answers.
#[derive(Debug, thiserror::Error)]
#[error("{page} cannot be searched")]
struct Unsearched {
    page: SearchPage,
    #[source]
    source: ChainError,
}

impl Finder {
    /// Looks again and again until `off`.
    pub async fn run(&self, off: CancellationToken) {
        self.writer.pool.clear();
        let mut progress = Progress::default();
        while !off.is_cancelled() {
            runtime::turn("mint-projector.finder");
            self.ledger.until_whole(&off).await;
            let looked = tokio::select! {
                looked = self.look(&mut progress) => looked,
                () = off.cancelled() => break,
            };
            let Looked { is_done, trouble } =
                looked.unwrap_or_else(|error| Looked { is_done: true, trouble: Some(error) });
            let is_overtaken = matches!(trouble, Some(Undone::Stale));
            match trouble {
                // Another instance was faster, and the next look sees what it wrote.
                None | Some(Undone::Stale) => self.health.good(PART),
                Some(error) => {
                    self.health.bad(PART, causes(&error).to_string());
                    tracing::warn!(error = %causes(&error), "the search for records without an order is held up");
                }
            }
            let is_idle = is_done && !is_overtaken;
            let pause = if is_idle { self.settings.now().mint_retry.saturating_mul(PAUSE) } else { BUSY_PAUSE };
            tokio::select! { () = off.cancelled() => {}, () = tokio::time::sleep(pause) => {} }
        }
        // Off duty, nothing is in the way of this process.
        self.health.good(PART);
    }

    /// One look: the ends of what is found, and one page of blocks for each group of tokens that are equally far. A page that
    /// holds more than a node answers is divided, which is ordinary. Only one block of one token cannot be divided: trouble.
    ///
    /// # Errors
    /// Nothing can be searched: the ledger or the node does not answer.
    async fn look(&self, progress: &mut Progress) -> Result<Looked, Undone> {
        self.read_tokens(progress).await?;
        let mut records = RecordLook::begin(&self.chain, &self.writer, &mut progress.early).await?;
        let mut trouble = records.ripen().await.err();
        trouble = records.end().await.err().or(trouble);
        let (last, begun, mut waits) = (records.searched, Instant::now(), BTreeSet::new());
        let mut pages: VecDeque<SearchPage> = progress.reach.pages(last.number, |token| records.has_room(token)).into();
        while let Some(page) = pages.pop_front() {
            let failed = match self.search(&page, last).await {
                Ok((traces, as_a_whole)) if traces.len() <= TRACES_MAX || page.single().is_some() => {
                    let held_up = records.judge(traces).await?;
                    for token in page.tokens.iter().filter(|token| !held_up.contains_key(*token)) {
                        progress.reach.pass(&page, *token, as_a_whole);
                    }
                    for (token, why) in held_up {
                        waits.insert(token);
                        trouble = why.or(trouble);
                    }
                    continue;
                }
                Ok((traces, _)) => ChainError::transient("eth_getLogs", format!("{} payments", traces.len())),
                Err(failed) => failed,
            };
            // Otherwise every page would be divided while the node is unavailable.
            self.chain.finalized().await?;
            let parts = progress.reach.divided(&page);
            let is_late = begun.elapsed() >= LOOK_MAX;
            if parts.is_empty() || is_late {
                waits.extend(&page.tokens);
                trouble = Some(Undone::transient(Unsearched { page, source: failed }));
            } else {
                tracing::debug!(error = %causes(&failed), %page, "a search for records is divided");
                pages.extend(parts);
            }
            if is_late {
                break;
            }
        }
        let is_left = |token: Address| records.has_room(token) && !waits.contains(&token);
        let is_done = progress.reach.pages(last.number, is_left).is_empty();
        self.keep(progress).await;
        Ok(Looked { is_done, trouble })
    }

    /// The traces of a page, and whether the node answered it as a whole. If strangers have filled one block of one token,
    /// the search does without the logs that they can make.
    async fn search(&self, page: &SearchPage, last: BlockRef) -> Result<(Vec<RecordTrace>, bool), ChainError> {
        match (self.chain.traces(&page.tokens, page.blocks(), last).await, page.single()) {
            (Ok(traces), _) => Ok((traces, true)),
            (Err(_), Some(token)) => Ok((self.chain.block_traces(token, page.first, last).await?, false)),
            (Err(error), None) => Err(error),
        }
    }

    /// Adds the tokens that were registered since. One that the bookmark knows is searched from there on.
    async fn read_tokens(&self, progress: &mut Progress) -> Result<(), Undone> {
        if progress.tokens_read.is_some_and(|at| at.elapsed() < TOKENS_INTERVAL) {
            return Ok(());
        }
        let start = match progress.start {
            Some(start) => start,
            None => self.ledger.bookmark().await?.unwrap_or_default(),
        };
        progress.start = Some(start);
        let (chain_id, asset) = (self.chain.config().chain_id, self.chain.config().asset.address);
        let (registrations, complete_up_to) = self.ledger.registrations_so_far().await?;
        for recorded in registrations {
            let Ok(Event::Token(_, TokenEvent::Registered(terms))) = &recorded.event else { continue };
            let TokenTerms { token, block: created, .. } = **terms;
            if (terms.chain_id, terms.asset) == (chain_id, asset) {
                let known = if recorded.seq <= start.registered { start.block.saturating_add(1) } else { 0 };
                progress.reach.add(token, known.max(created.number));
            }
        }
        progress.registered = complete_up_to.max(progress.registered);
        progress.tokens_read = Some(Instant::now());
        Ok(())
    }

    /// Moves the bookmark, now and then. It stays behind every record that is not at its end.
    async fn keep(&self, progress: &mut Progress) {
        let Some(searched) = progress.reach.searched() else { return };
        let open = self.writer.pool.waiting().into_iter().map(|record| record.block.number);
        let oldest = open.chain(progress.early.blocks()).min();
        let block = oldest.map_or(searched, |oldest| searched.min(oldest.saturating_sub(1)));
        let bookmark = Bookmark { block, registered: progress.registered };
        if progress.kept.is_some_and(|(at, kept)| bookmark == kept || at.elapsed() < BOOKMARK_INTERVAL) {
            return;
        }
        progress.kept = Some((Instant::now(), bookmark));
        if let Err(error) = self.ledger.keep_bookmark(bookmark).await {
            tracing::warn!(error = %causes(&error), "the bookmark of the search for records is not moved");
        }
    }
}
