//! Signatures: the one normal form that the token takes, and whose it is.

use alloy_primitives::{Address, B256, hex, keccak256};
use secp256k1::Message;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};

use crate::eip712::transfer_digest;
use crate::payment::Authorization;
use crate::rejection::Rejection;

/// r, s and v.
pub const SIGNATURE_BYTES: usize = 65;

/// Half the order of secp256k1: USDC reverts above it. Source: EIP-2, OpenZeppelin ECDSA, Circle's
/// ECRecover.sol.
const HALF_ORDER: [u8; 32] = hex!("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0");

/// ERC-6492 ends a wrapped signature of a wallet that does not exist yet with this.
const ERC6492_SUFFIX: [u8; 32] = hex!("6492649264926492649264926492649264926492649264926492649264926492");

/// Brings a signature into the form that goes on chain: 65 bytes, low s, v 27 or 28.
/// v 0 and 1 are taken and lifted, because ecrecover precompiles and USDC want 27 and 28.
/// # Errors
/// `SmartWalletSignature` for ERC-6492, or longer than 65 bytes; `MalformedSignature` for any other
/// length, 64-byte EIP-2098 included (D12), or another v; `HighS`.
pub fn normalise_signature(signature: &[u8]) -> Result<[u8; SIGNATURE_BYTES], Rejection> {
    if signature.ends_with(&ERC6492_SUFFIX) || signature.len() > SIGNATURE_BYTES {
        return Err(Rejection::SmartWalletSignature);
    }
    let mut normal: [u8; SIGNATURE_BYTES] = signature.try_into().map_err(|_| Rejection::MalformedSignature)?;
    normal[64] = match normal[64] {
        0 | 27 => 27,
        1 | 28 => 28,
        _ => return Err(Rejection::MalformedSignature),
    };
    if normal[32..64] > HALF_ORDER[..] {
        return Err(Rejection::HighS);
    }
    Ok(normal)
}

/// The address whose key made a signature in normal form over a digest.
///
/// Almost any bytes are somebody's signature: compare the address, its existence proves nothing.
/// # Errors
/// `MalformedSignature` if v is not 27 or 28, r or s is 0 or not below the order, or r is on no point.
pub fn recover(digest: &B256, signature: &[u8; SIGNATURE_BYTES]) -> Result<Address, Rejection> {
    let id = match signature[64] {
        27 => RecoveryId::Zero,
        28 => RecoveryId::One,
        _ => return Err(Rejection::MalformedSignature),
    };
    let key = RecoverableSignature::from_compact(&signature[..64], id)
        .and_then(|signature| signature.recover_ecdsa(Message::from_digest(digest.0)))
        .map_err(|_| Rejection::MalformedSignature)?;
    let hash = keccak256(&key.serialize_uncompressed()[1..]);
    Ok(Address::from_slice(&hash[12..]))
}

/// That `authorization.from` signed the authorization for this domain; gives the signature in normal
/// form. The whole check of one who has the terms from the ledger and trusts nobody's earlier check.
///
/// Necessary, not sufficient: a payer with code is judged by that code (D12), which only the chain knows.
/// # Errors
/// Those of [`normalise_signature`] and [`recover`]; `SignerMismatch` if it is another's.
pub fn verify_signature(
    domain_separator: &B256,
    authorization: &Authorization,
    signature: &[u8],
) -> Result<[u8; SIGNATURE_BYTES], Rejection> {
    let normal = normalise_signature(signature)?;
    let signer = recover(&transfer_digest(domain_separator, authorization), &normal)?;
    if signer == authorization.from { Ok(normal) } else { Err(Rejection::SignerMismatch) }
}
