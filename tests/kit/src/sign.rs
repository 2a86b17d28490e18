//! Signatures of payers.

use alloy_primitives::{Address, B256, keccak256};
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, SecretKey};

/// The account of a private key.
pub fn address_of(key: &SecretKey) -> Address {
    Address::from_slice(&keccak256(&key.public_key().serialize_uncompressed()[1..])[12..])
}

/// Signs `digest`: `r`, `s`, and `v` as 27 or 28.
pub fn sign_digest(digest: B256, key: &SecretKey) -> [u8; 65] {
    let signed = RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(digest.0), key);
    let (id, rs) = signed.serialize_compact();
    let mut signature = [0; 65];
    signature[..64].copy_from_slice(&rs);
    signature[64] = 27 + u8::from(id);
    signature
}
