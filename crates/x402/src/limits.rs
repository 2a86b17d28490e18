//! The limits of a payment header, which refusals name.

/// Longest header value that is decoded, in bytes. Stock payments have 650 (v1) to 1,100 (v2).
///
/// The wire reference asks for 16 to 64 KiB: room for the echo of an offer of 8 KiB and for a smart wallet's signature,
/// which is then refused by its proper name. This is the smallest size that allows both.
pub const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Deepest nesting of objects and arrays. A payment needs 3 levels, echoed extension schemas about 10;
/// serde_json itself stops at 128.
pub const MAX_JSON_DEPTH: usize = 32;
