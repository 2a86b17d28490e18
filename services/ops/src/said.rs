//! The name and the reason that a person gives for a change.

/// Maximum lengths, in characters (`schemas/io.paymint.refund.requested.v1.json` and others).
const BY_CHARS: usize = 100;
const WHY_CHARS: usize = 200;

/// A name and a reason.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub by: String,
    pub why: String,
}

/// An option that is empty or longer than its schema allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BadText {
    pub name: &'static str,
    pub most: usize,
}

/// Checks what a person says, and takes the spaces off both ends.
pub(crate) fn said(by: &str, why: &str) -> Result<Said, BadText> {
    for (name, text, most) in [("by", by, BY_CHARS), ("why", why, WHY_CHARS)] {
        if !(1..=most).contains(&text.trim().chars().count()) {
            return Err(BadText { name, most });
        }
    }
    Ok(Said { by: by.trim().to_owned(), why: why.trim().to_owned() })
}
