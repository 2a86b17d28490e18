//! Everything that happened to one order, and what happens next, without a gap between the two.

use crate::bought::Bought;
use crate::follower::Follower;
use crate::hub::{Ear, Missed, Topic};
use crate::news::News;
use crate::records::{Records, RecordsError};
use domain::{Event, PaymentId, Recorded};
use std::sync::Arc;

impl Follower {
    /// The news of the order from its first event on, and a listener for the next ones. No news if the order does not
    /// exist. The listener may repeat some of the news.
    ///
    /// The second copy has the events up to its position, and the hub keeps those behind it. If the read models do not
    /// answer, or are further behind, or both know nothing of the order, the ledger is read. An event that contradicts the
    /// past of its order, which no service writes, is missing in the copy.
    ///
    /// # Errors
    /// `LedgerAway` and `OrderUnreadable`.
    pub async fn story(&self, records: &Records, id: PaymentId) -> Result<(Vec<Arc<News>>, Ear), RecordsError> {
        let topic = Topic::Payment(id);
        if let Some((position, copied)) = records.copied(id).await
            && let Ok((Missed::News(since), ear)) = self.hub.resume(topic, position)
        {
            let story: Vec<_> = news_of(id, &copied)?.into_iter().chain(since).collect();
            if story.first().is_some_and(|news| news.first) {
                return Ok((story, ear));
            }
        }
        // Listening begins before reading, so that an event which is stored in between is found twice, and not missed.
        let ear = self.hub.listen(topic);
        let history = records.history(id).await?;
        Ok((news_of(id, &history)?, ear))
    }
}

/// Renders a history. An event that cannot be read is left out.
fn news_of(id: PaymentId, history: &[Recorded]) -> Result<Vec<Arc<News>>, RecordsError> {
    if history.is_empty() {
        return Ok(Vec::new());
    }
    let Bought { payer, token, .. } = Bought::in_history(history).ok_or(RecordsError::OrderUnreadable(id))?;
    let news = history.iter().filter_map(|recorded| match &recorded.event {
        Ok(Event::Order(_, event)) => Some(Arc::new(News::of(recorded, id, event, payer, token))),
        _ => None,
    });
    Ok(news.collect())
}
