//! A health check for containers without a shell. It sends one request to a health address, and its exit code is the
//! answer.

use runtime::Fatal;
use std::time::Duration;

/// Time limit of the request: longer than any answer takes, shorter than the time-out of a container's health check.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks `url`, such as `http://127.0.0.1:8101/readyz`, once.
///
/// # Errors
/// No answer within three seconds, or any status but 200; then with the body, which names the obstacles.
pub async fn ready(url: &str) -> Result<(), Fatal> {
    let client = reqwest::Client::builder().timeout(TIMEOUT).build()?;
    let answer = client.get(url).send().await.map_err(|e| format!("{url} does not answer: {e}"))?;
    let status = answer.status();
    if status == reqwest::StatusCode::OK {
        return Ok(());
    }
    let obstacles = answer.text().await.unwrap_or_default();
    Err(format!("{url} answers {status}: {obstacles}").into())
}
