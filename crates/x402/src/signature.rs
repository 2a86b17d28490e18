//! Signatures: the normal form that the token accepts, and recovery of the signer.

use alloy_primitives::{Address, B256, hex, keccak256};
use domain::Authorization;
use secp256k1::Message;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};

use crate::eip712::transfer_digest;
use crate::rejection::PaymentRejection;

/// Length of a signature: r, s and v.
pub const SIGNATURE_BYTES: usize = 65;

/// Half the order of secp256k1. USDC reverts if s is above it. Source: EIP-2, OpenZeppelin ECDSA, Circle's
/// ECRecover.sol.
const HALF_ORDER: [u8; 32] = hex!("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0");

/// The last 32 bytes of a signature that ERC-6492 wraps for a wallet that is not deployed yet.
const ERC6492_SUFFIX: [u8; 32] = hex!("6492649264926492649264926492649264926492649264926492649264926492");

/// Brings a signature into the form that goes on chain: 65 bytes, low s, v 27 or 28. v 0 and 1 become 27 and 28, which
/// ecrecover precompiles and USDC require.
/// # Errors
/// `SmartWalletSignature` for ERC-6492 or more than 65 bytes. `MalformedSignature` for any other length or another v;
/// this includes the 64 bytes of EIP-2098, which USDC refuses. `HighS`.
pub fn normalise_signature(signature: &[u8]) -> Result<[u8; SIGNATURE_BYTES], PaymentRejection> {
    if signature.ends_with(&ERC6492_SUFFIX) || signature.len() > SIGNATURE_BYTES {
        return Err(PaymentRejection::SmartWalletSignature);
    }
    let mut normal: [u8; SIGNATURE_BYTES] = signature.try_into().map_err(|_| PaymentRejection::MalformedSignature)?;
    normal[64] = match normal[64] {
        0 | 27 => 27,
        1 | 28 => 28,
        _ => return Err(PaymentRejection::MalformedSignature),
    };
    if normal[32..64] > HALF_ORDER[..] {
        return Err(PaymentRejection::HighS);
    }
    Ok(normal)
}

/// Recovers the address whose key made a signature in normal form over a digest.
///
/// Almost any bytes are a valid signature of some address. Compare the result: that there is one proves nothing.
/// # Errors
/// `MalformedSignature` if v is not 27 or 28, if r or s is 0 or not below the order, or if r is on no point.
pub fn recover(digest: &B256, signature: &[u8; SIGNATURE_BYTES]) -> Result<Address, PaymentRejection> {
    let id = match signature[64] {
        27 => RecoveryId::Zero,
        28 => RecoveryId::One,
        _ => return Err(PaymentRejection::MalformedSignature),
    };
    let key = RecoverableSignature::from_compact(&signature[..64], id)
        .and_then(|signature| signature.recover_ecdsa(Message::from_digest(digest.0)))
        .map_err(|_| PaymentRejection::MalformedSignature)?;
    let hash = keccak256(&key.serialize_uncompressed()[1..]);
    Ok(Address::from_slice(&hash[12..]))
}

/// Verifies that `authorization.from` signed the authorization for this domain, and returns the signature in normal
/// form. This is the complete check for a caller that has the terms from the ledger and trusts no earlier check.
///
/// Necessary, not sufficient: USDC asks the code of a payer that has code, and only the chain knows it.
/// # Errors
/// Those of [`normalise_signature`] and [`recover`]. `SignerMismatch` if another key signed.
pub fn verify_signature(
    domain_separator: &B256,
    authorization: &Authorization,
    signature: &[u8],
) -> Result<[u8; SIGNATURE_BYTES], PaymentRejection> {
    let normal = normalise_signature(signature)?;
    let signer = recover(&transfer_digest(domain_separator, authorization), &normal)?;
    if signer == authorization.from { Ok(normal) } else { Err(PaymentRejection::SignerMismatch) }
}
