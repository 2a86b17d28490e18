//! All providers: which of them are asked, how many, and how their answers are combined.

use crate::error::{ChainError, clip, null};
use crate::rpc::agreement::{Agreement, QuorumAnswer, agreement, reached_by_two};
use crate::rpc::http::Http;
use crate::rpc::node::Node;
use crate::rpc::provider::{Provider, ProviderHeads, ProviderRequirements, Unfit};
use crate::rpc::url::RpcUrl;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// Time limit of a call with its failovers. A node stalls while it executes a block (measured: 1.1 s p99 under load). A
/// time-out never means "not sent".
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Time limit of one provider where two or all are asked concurrently. After three time-outs it rests.
const SHARE_TIMEOUT: Duration = Duration::from_secs(5);

/// One or more providers of one chain. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Providers(Arc<[Arc<Provider>]>);

impl Providers {
    /// Checks every provider. One that does not answer rests and is checked before its first use, as long as another
    /// one answers.
    ///
    /// # Errors
    /// `Misconfigured` if one serves another chain or asset, `Transient` if none answers.
    pub(crate) async fn connect(urls: &[RpcUrl], rate: u32, terms: &ProviderRequirements) -> Result<Self, ChainError> {
        if urls.iter().enumerate().any(|(index, url)| urls[..index].contains(url)) {
            // A provider's agreement with itself is worth nothing.
            return Err(ChainError::Misconfigured(format!("{} names the same provider twice", terms.variable)));
        }
        let http = Http::new(urls)
            .map_err(|e| ChainError::Misconfigured(format!("{}: no HTTP client: {e}", terms.variable)))?;
        let heads: ProviderHeads = Arc::new(Mutex::new(vec![None; urls.len()]));
        let provider = |numbered| Arc::new(Provider::new(numbered, http.clone(), rate, terms.clone(), heads.clone()));
        let providers: Arc<[Arc<Provider>]> = urls.iter().cloned().enumerate().map(provider).collect();
        let mut silent = None;
        for (provider, checked) in providers.iter().zip(join_all(providers.iter().map(|one| one.check())).await) {
            match checked {
                Ok(()) => {}
                Err(Unfit::Wrong(text)) => return Err(ChainError::Misconfigured(text)),
                Err(unfit @ (Unfit::Silent(..) | Unfit::Stale(_))) => {
                    provider.unfit(&unfit);
                    silent = Some(unfit);
                }
            }
        }
        match silent {
            Some(Unfit::Silent(cause, _) | Unfit::Stale(cause)) if providers.iter().all(|one| !one.is_well()) => {
                Err(ChainError::transient(terms.variable, cause))
            }
            _ => Ok(Self(providers)),
        }
    }

    /// Returns `true` if only one provider is configured.
    pub(crate) fn alone(&self) -> bool {
        self.0.len() == 1
    }

    /// Asks one provider, and the next if it gives no usable answer, all within the call's time limit. They are asked
    /// in the order of the configuration.
    ///
    /// # Errors
    /// The answer's own `Refused`. `Transient` if none answers.
    pub(crate) async fn one<T, F: Future<Output = Result<T, ChainError>>>(
        &self,
        operation: &'static str,
        ask: impl Fn(Node) -> F,
    ) -> Result<T, ChainError> {
        let deadline = Instant::now() + CALL_TIMEOUT;
        let well = self.well();
        let mut last = ChainError::transient(operation, self.too_few());
        for (index, provider) in well.iter().enumerate() {
            let others = u32::try_from(well.len() - index).unwrap_or(u32::MAX);
            let patience = deadline.saturating_duration_since(Instant::now()) / others;
            match ask(Node::new(provider.clone(), patience)).await {
                Err(transient @ ChainError::Transient { .. }) => last = transient,
                answer => return answer,
            }
        }
        Err(last)
    }

    /// Asks two providers, and further ones until two answers are equal. Each is asked the whole question, so that an
    /// answer comes from one node from beginning to end.
    ///
    /// # Errors
    /// `Transient` if no two agree, or fewer than two answer. A contradiction is logged.
    pub(crate) async fn agreed<T: QuorumAnswer + Debug, F: Future<Output = Result<T, ChainError>>>(
        &self,
        operation: &'static str,
        ask: impl Fn(Node) -> F,
    ) -> Result<T, ChainError> {
        let well = self.well();
        if self.alone() {
            return self.one(operation, ask).await;
        }
        let mut last = ChainError::transient(operation, self.too_few());
        if well.len() < 2 {
            return Err(last);
        }
        let (mut names, mut answers) = (Vec::new(), Vec::new());
        let (first, further) = well.split_at(2);
        for asked in std::iter::once(first).chain(further.chunks(1)) {
            let nodes = asked.iter().map(|provider| ask(Node::new(provider.clone(), self.share())));
            for (provider, answer) in asked.iter().zip(join_all(nodes).await) {
                match answer {
                    Ok(answer) => {
                        names.push(provider.name());
                        answers.push(answer);
                    }
                    Err(error) => last = error,
                }
            }
            if let Agreement::Agreed(index) = agreement(&answers) {
                alarm(operation, &names, &answers, Some(index));
                return Ok(answers.swap_remove(index));
            }
        }
        if answers.len() < 2 {
            return Err(last);
        }
        match (agreement(&answers), T::undecided()) {
            (Agreement::Contradiction, _) => alarm(operation, &names, &answers, None),
            (_, Some(undecided)) => return Ok(undecided),
            (_, None) => {}
        }
        let cause = format!("{} disagree", names.join(" and "));
        Err(ChainError::transient(operation, cause))
    }

    /// Asks all concurrently, until one answer is `enough`. The other calls run to their end.
    pub(crate) async fn everyone<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        ask: impl Fn(Node) -> F,
        enough: impl Fn(&T) -> bool,
    ) -> Vec<T> {
        let asked = |provider: &Arc<Provider>| tokio::spawn(ask(Node::new(provider.clone(), self.share())));
        let mut under_way: FuturesUnordered<_> = self.well().iter().map(asked).collect();
        let mut answers = Vec::new();
        while let Some(answer) = under_way.next().await {
            let Ok(answer) = answer else { continue };
            answers.push(answer);
            if answers.last().is_some_and(&enough) {
                break;
            }
        }
        answers
    }

    /// The answers of all providers, at least two.
    ///
    /// # Errors
    /// `Transient` if fewer than two answer.
    pub(crate) async fn two_or_more<T: Send + 'static, F>(
        &self,
        operation: &'static str,
        ask: impl Fn(Node) -> F,
    ) -> Result<Vec<T>, ChainError>
    where
        F: Future<Output = Result<T, ChainError>> + Send + 'static,
    {
        let mut last = ChainError::transient(operation, self.too_few());
        let mut answers = Vec::new();
        for answer in self.everyone(ask, |_| false).await {
            match answer {
                Ok(answer) => answers.push(answer),
                Err(error) => last = error,
            }
        }
        if answers.len() < 2 { Err(last) } else { Ok(answers) }
    }

    /// The highest answer, by `height`, that two have reached. A value that only one claims is ignored.
    ///
    /// # Errors
    /// `Transient`.
    pub(crate) async fn reached<T: Send + 'static, K: Ord, F>(
        &self,
        operation: &'static str,
        ask: impl Fn(Node) -> F,
        height: impl Fn(&T) -> K,
    ) -> Result<T, ChainError>
    where
        F: Future<Output = Result<T, ChainError>> + Send + 'static,
    {
        if self.alone() {
            return self.one(operation, ask).await;
        }
        let answers = self.two_or_more(operation, ask).await?;
        reached_by_two(answers, height).ok_or_else(|| null(operation))
    }

    fn share(&self) -> Duration {
        if self.alone() { CALL_TIMEOUT } else { SHARE_TIMEOUT }
    }

    fn well(&self) -> Vec<Arc<Provider>> {
        self.0.iter().filter(|provider| provider.is_well()).cloned().collect()
    }

    fn too_few(&self) -> String {
        let resting: Vec<String> =
            self.0.iter().filter(|provider| !provider.is_well()).map(|provider| provider.name()).collect();
        format!("{} of {} providers are resting: {}", resting.len(), self.0.len(), resting.join(", "))
    }
}

/// Logs which providers contradict the others, because an operator must know. `agreed`: index of the answer on which
/// two agree, if any.
fn alarm<T: QuorumAnswer + Debug>(operation: &str, names: &[String], answers: &[T], agreed: Option<usize>) {
    let agreed = agreed.and_then(|index| answers.get(index));
    for (provider, answer) in names.iter().zip(answers) {
        if !answer.may_lag() && agreed != Some(answer) {
            let answer = clip(&format!("{answer:?}"));
            tracing::error!(operation, provider, answer, "providers contradict each other");
        }
    }
}
