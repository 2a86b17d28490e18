//! The server's answer to an append.

use runtime::Cause;
use serde_json::Value;

/// The server's answers, grouped by what to do next. The error codes tell them apart.
pub(crate) enum AppendAnswer {
    Stored(Vec<u64>),
    /// Another writer was first. 10071: wrong last sequence. 10077: per subject.
    Conflict,
    /// 10164: another append is in flight, which may be an earlier try of this one. With too few replicas it stays there.
    InFlight,
    /// The events are not stored, and sending them again does not help.
    Refused(Cause),
    /// Any other answer, or none. That nothing listens is no outcome either: three replicas answer so while they elect a
    /// leader.
    Unknown(Cause),
}

/// Reads a publish acknowledgement. `count` messages were sent; a batch's ack names the last sequence.
pub(crate) fn classify(payload: &[u8], count: usize) -> AppendAnswer {
    let Ok(answer) = serde_json::from_slice::<Value>(payload) else {
        return AppendAnswer::Unknown("the acknowledgement is not JSON".into());
    };
    let description = answer.pointer("/error/description").and_then(Value::as_str).unwrap_or_default();
    match answer.pointer("/error/err_code").and_then(Value::as_u64) {
        None if answer.get("error").is_some() => AppendAnswer::Unknown(answer.to_string().into()),
        None => match (answer.get("seq").and_then(Value::as_u64), u64::try_from(count)) {
            (Some(last), Ok(count)) if last >= count => AppendAnswer::Stored((last - count + 1..=last).collect()),
            _ => AppendAnswer::Unknown(format!("an acknowledgement without a sequence: {answer}").into()),
        },
        Some(10071) => AppendAnswer::Conflict,
        Some(10164) => AppendAnswer::InFlight,
        Some(10077) if description.contains("per subject") => AppendAnswer::Conflict,
        // 10054: message too large. 10077: stream full. The other codes are mistakes of our own.
        Some(code @ (10054 | 10077 | 10111 | 10166 | 10174 | 10188 | 10193 | 10199 | 10201)) => {
            AppendAnswer::Refused(format!("{description} ({code})").into())
        }
        Some(code) => AppendAnswer::Unknown(format!("{description} ({code})").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_answers_are_told_apart() {
        let cases = [
            (r#"{"stream":"LEDGER","seq":7}"#, 1, "stored"),
            (r#"{"stream":"LEDGER","seq":7,"batch":"x","count":3}"#, 3, "stored"),
            (r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 5"}}"#, 1, "conflict"),
            (r#"{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"}}"#, 2, "in_flight"),
            (
                r#"{"error":{"code":503,"err_code":10077,"description":"maximum messages per subject exceeded"}}"#,
                1,
                "conflict",
            ),
            (r#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}"#, 1, "refused"),
            (
                r#"{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}"#,
                1,
                "refused",
            ),
            (r#"{"error":{"code":400,"err_code":10176,"description":"batch publish is incomplete"}}"#, 2, "unknown"),
            (
                r#"{"error":{"code":503,"err_code":10008,"description":"jetstream system temporarily unavailable"}}"#,
                1,
                "unknown",
            ),
            ("", 1, "unknown"),
            ("{}", 1, "unknown"),
        ];
        for (payload, count, expected) in cases {
            let found = match classify(payload.as_bytes(), count) {
                AppendAnswer::Stored(sequences) => {
                    assert_eq!(sequences.len(), count);
                    "stored"
                }
                AppendAnswer::Conflict => "conflict",
                AppendAnswer::InFlight => "in_flight",
                AppendAnswer::Refused(_) => "refused",
                AppendAnswer::Unknown(_) => "unknown",
            };
            assert_eq!(found, expected, "{payload}");
        }
    }
}
