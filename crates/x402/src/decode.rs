//! Parses header bytes into a [`Payment`]. Syntax only: [`crate::verify`] decides what it pays.

use std::ops::RangeInclusive;

use domain::{Authorization, Usdc};
use serde::Deserialize;

use crate::fields::{Raw, address, bytes32, hex_bytes, nested, object, optional_string, seconds, string, uint256};
use crate::header::{HeaderName, text};
use crate::payment::{Accepted, Payment, Version};
use crate::rejection::PaymentRejection;

/// The only scheme that is offered.
pub(crate) const SCHEME: &str = "exact";

/// Length of a payment identifier. Source: `payment-identifier` of @x402/extensions 2.27.0.
pub(crate) const IDENTIFIER_BYTES: RangeInclusive<usize> = 16..=128;

/// The envelope of either generation. Key order is free: TypeScript, Python and Rust clients each have their own.
#[derive(Deserialize)]
struct WireEnvelope<'a> {
    #[serde(borrow, rename = "x402Version")]
    version: Raw<'a>,
    scheme: Raw<'a>,
    network: Raw<'a>,
    accepted: Raw<'a>,
    payload: Raw<'a>,
    extensions: Raw<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireAccepted<'a> {
    #[serde(borrow)]
    scheme: Raw<'a>,
    network: Raw<'a>,
    amount: Raw<'a>,
    asset: Raw<'a>,
    pay_to: Raw<'a>,
    extra: Raw<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireExtra<'a> {
    #[serde(borrow)]
    name: Raw<'a>,
    version: Raw<'a>,
    asset_transfer_method: Raw<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePayload<'a> {
    #[serde(borrow)]
    signature: Raw<'a>,
    authorization: Raw<'a>,
    #[serde(rename = "permit2Authorization")]
    permit2_authorization: Raw<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireAuthorization<'a> {
    #[serde(borrow)]
    from: Raw<'a>,
    to: Raw<'a>,
    value: Raw<'a>,
    valid_after: Raw<'a>,
    valid_before: Raw<'a>,
    nonce: Raw<'a>,
}

#[derive(Deserialize)]
struct WireExtensions<'a> {
    #[serde(borrow, rename = "payment-identifier")]
    payment_identifier: Raw<'a>,
}

#[derive(Deserialize)]
struct WireExtension<'a> {
    #[serde(borrow)]
    info: Raw<'a>,
}

#[derive(Deserialize)]
struct WireIdentifier<'a> {
    #[serde(borrow)]
    id: Raw<'a>,
}

/// Parses a header value. Unknown fields and unknown extensions are skipped, as in the reference servers.
///
/// The order of the checks is the order of precedence: size, base64, UTF-8, depth, JSON, version, scheme and shape of
/// the accepted terms, kind of payload, fields, payment identifier. Cost: 3 us for a stock v2 payment.
/// # Errors
/// A [`PaymentRejection`] with status 400 or 431 if the value cannot be parsed. With status 402 if it is empty, or names a
/// scheme or a kind of payload that is never offered.
pub fn decode(header: HeaderName, value: &[u8]) -> Result<Payment, PaymentRejection> {
    let text = text(value)?;
    let envelope: WireEnvelope<'_> = object(&text).ok_or(PaymentRejection::NotJson)?;
    let version = header.version();
    let expected = match version {
        Version::V1 => "1",
        Version::V2 => "2",
    };
    if envelope.version.is_none_or(|raw| raw.get() != expected) {
        return Err(PaymentRejection::InvalidVersion);
    }
    let (network, accepted) = match version {
        Version::V1 => {
            if string(envelope.scheme, "scheme")? != SCHEME {
                return Err(PaymentRejection::InvalidScheme);
            }
            (string(envelope.network, "network")?, None)
        }
        Version::V2 => {
            let terms = accepted(envelope.accepted)?;
            (terms.network.clone(), Some(terms))
        }
    };
    let payload: WirePayload<'_> = nested(envelope.payload, "payload")?;
    if payload.authorization.is_none() && payload.permit2_authorization.is_some() {
        return Err(PaymentRejection::UnsupportedPayload);
    }
    let authorization = authorization(payload.authorization)?;
    let signature = hex_bytes(payload.signature, "payload.signature")?;
    let payment_identifier = payment_identifier(envelope.extensions)?;
    let authorization = authorization.ok_or(PaymentRejection::ValueMismatch(version))?;
    Ok(Payment { version, network, accepted, authorization, signature, payment_identifier })
}

fn accepted(raw: Raw<'_>) -> Result<Accepted, PaymentRejection> {
    if raw.is_none() {
        return Err(PaymentRejection::NoMatchingRequirements("accepted"));
    }
    let wire: WireAccepted<'_> = nested(raw, "accepted")?;
    if string(wire.scheme, "accepted.scheme")? != SCHEME {
        return Err(PaymentRejection::NoMatchingRequirements("scheme"));
    }
    let extra: WireExtra<'_> = match wire.extra {
        None => WireExtra::default(),
        some => nested(some, "accepted.extra")?,
    };
    Ok(Accepted {
        network: string(wire.network, "accepted.network")?,
        asset: address(wire.asset, "accepted.asset")?,
        pay_to: address(wire.pay_to, "accepted.payTo")?,
        amount: uint256(wire.amount, "accepted.amount")?,
        asset_name: optional_string(extra.name, "accepted.extra.name")?,
        asset_version: optional_string(extra.version, "accepted.extra.version")?,
        transfer_method: optional_string(extra.asset_transfer_method, "accepted.extra.assetTransferMethod")?,
    })
}

/// Returns `None` for a value above 64 bits, which no price has.
///
/// Times are uint256 on the wire. A time that does not fit 64 bits is refused as malformed: the vector
/// `v2-validBefore-u256-max` tolerates that, and an authorization without an end could become payable again at any time.
fn authorization(raw: Raw<'_>) -> Result<Option<Authorization>, PaymentRejection> {
    let wire: WireAuthorization<'_> = nested(raw, "payload.authorization")?;
    let from = address(wire.from, "authorization.from")?;
    let to = address(wire.to, "authorization.to")?;
    let value = uint256(wire.value, "authorization.value")?;
    let valid_after = seconds(wire.valid_after, "authorization.validAfter")?;
    let valid_before = seconds(wire.valid_before, "authorization.validBefore")?;
    let nonce = bytes32(wire.nonce, "authorization.nonce")?;
    let value = u64::try_from(value).ok().map(Usdc);
    Ok(value.map(|value| Authorization { from, to, value, valid_after, valid_before, nonce }))
}

/// The id that a client chose so that it is not charged twice. An offer that is echoed unchanged names none. A
/// malformed id is refused: ignoring it would silently remove the protection.
fn payment_identifier(raw: Raw<'_>) -> Result<Option<String>, PaymentRejection> {
    let Some(extensions) = raw.filter(|raw| raw.get().starts_with('{')) else { return Ok(None) };
    let extensions: WireExtensions<'_> = object(extensions.get()).ok_or(PaymentRejection::InvalidIdentifier)?;
    let Some(extension) = extensions.payment_identifier else { return Ok(None) };
    let extension: WireExtension<'_> = object(extension.get()).ok_or(PaymentRejection::InvalidIdentifier)?;
    let Some(info) = extension.info else { return Ok(None) };
    let identifier: WireIdentifier<'_> = object(info.get()).ok_or(PaymentRejection::InvalidIdentifier)?;
    let Some(_) = identifier.id else { return Ok(None) };
    let id = string(identifier.id, "id").map_err(|_| PaymentRejection::InvalidIdentifier)?;
    let fits =
        IDENTIFIER_BYTES.contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if fits { Ok(Some(id)) } else { Err(PaymentRejection::InvalidIdentifier) }
}
