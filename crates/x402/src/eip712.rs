//! The EIP-712 domain, the digest of an EIP-3009 transfer, and the key of a payment.
//!
//! All are keccak256 over 32-byte words.

use alloy_primitives::{Address, B256, U256, b256, keccak256};

use domain::Authorization;

/// keccak256 of `EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)`.
const DOMAIN_TYPE_HASH: B256 = b256!("8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f");

/// keccak256 of `TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,
/// uint256 validBefore,bytes32 nonce)`, without the line break. Source: EIP-3009; a test derives both.
const TRANSFER_TYPE_HASH: B256 = b256!("7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267");

/// The EIP-712 domain of a token. Constant per asset, so callers should keep it. `name` and `version` are those of the
/// token contract (Base Sepolia `USDC`/`2`, Base `USD Coin`/`2`). With any other spelling no signature is valid.
pub fn domain_separator(name: &str, version: &str, chain_id: u64, verifying_contract: Address) -> B256 {
    hash_words(&[
        DOMAIN_TYPE_HASH,
        keccak256(name.as_bytes()),
        keccak256(version.as_bytes()),
        B256::from(U256::from(chain_id)),
        verifying_contract.into_word(),
    ])
}

/// The digest that the payer signs: `keccak256(0x1901 ++ domain separator ++ struct hash)`.
pub fn transfer_digest(domain_separator: &B256, authorization: &Authorization) -> B256 {
    let struct_hash = hash_words(&[
        TRANSFER_TYPE_HASH,
        authorization.from.into_word(),
        authorization.to.into_word(),
        B256::from(U256::from(authorization.value.0)),
        B256::from(U256::from(authorization.valid_after)),
        B256::from(U256::from(authorization.valid_before)),
        authorization.nonce,
    ]);
    let mut message = [0_u8; 66];
    message[..2].copy_from_slice(&[0x19, 0x01]);
    message[2..34].copy_from_slice(domain_separator.as_slice());
    message[34..].copy_from_slice(struct_hash.as_slice());
    keccak256(message)
}

/// The permanent name of a payment, on chain and off: `keccak256(abi.encode(uint256 chainId, address asset, address
/// payer, bytes32 nonce))`. These are exactly the values that the token contract uses up, so one authorization has one
/// key, whatever its spelling, protocol version or order.
pub fn payment_key(chain_id: u64, asset: Address, payer: Address, nonce: B256) -> B256 {
    hash_words(&[B256::from(U256::from(chain_id)), asset.into_word(), payer.into_word(), nonce])
}

fn hash_words<const N: usize>(words: &[B256; N]) -> B256 {
    keccak256(words.as_slice().iter().flat_map(|word| word.0).collect::<Vec<u8>>())
}
