//! An EIP-3009 authorization on its way to the asset: its packed form, and the reason why the asset refuses it.

use crate::abi::UsdcDouble;
use crate::connect::Chain;
use crate::error::{ChainError, clip};
use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::sol_types::SolCall;
use domain::event::WaitReason;
use domain::request::SignatureBytes;
use domain::{Authorization, PaymentRequest};

/// Largest packed time. The top bit of the five bytes is no time: in an item of a token it says that the payer signed
/// ReceiveWithAuthorization. Unix seconds fit until the year 19,391.
const TIME_MAX: u64 = (1 << 39) - 1;

impl Chain {
    /// Asks the asset directly, outside the batch, why it refuses a payment for which `gas` is provided, and returns the
    /// reason with the node's text.
    ///
    /// # Errors
    /// `Transient` or `Refused`: nothing is known. Only a call that was executed and failed is the asset's word.
    pub(crate) async fn refusal(
        &self,
        signer: Address,
        request: &PaymentRequest,
        gas: u64,
    ) -> Result<(WaitReason, String), ChainError> {
        let input = transfer_input(&request.authorization, &request.signature);
        match self.call(Some(signer), request.asset, input, Some(gas)).await {
            // Good alone, bad in the batch: an earlier item of the same payer took the balance.
            Ok(_) => Ok((WaitReason::Unfunded, "an earlier payment in the batch takes the balance".to_owned())),
            Err(error) => error.into_reason().map(|text| (reason_of(&text), clip(&text))),
        }
    }
}

/// Appends value 8, validAfter 5, validBefore 5, nonce 32, r 32, vs 32 (EIP-2098: `s`, with yParity in its top bit).
///
/// The intake keeps times far below [`TIME_MAX`] and checks signatures. Fields of a forged request are changed so that
/// they mean nothing else to the contract, and USDC refuses the signature: a time is clamped, and `vs` is never 0, which
/// would make `r` a pointer with gas of its own.
pub(crate) fn pack(items: &mut Vec<u8>, auth: &Authorization, signature: &SignatureBytes) {
    let time = |seconds: u64| seconds.min(TIME_MAX).to_be_bytes();
    let mut vs = [0_u8; 32];
    vs.copy_from_slice(&signature[32..64]);
    if signature[64] == 28 {
        vs[0] |= 0x80;
    }
    if vs == [0; 32] {
        vs[31] = 1;
    }
    items.extend_from_slice(&auth.value.0.to_be_bytes());
    items.extend_from_slice(&time(auth.valid_after)[3..]);
    items.extend_from_slice(&time(auth.valid_before)[3..]);
    items.extend_from_slice(auth.nonce.as_slice());
    items.extend_from_slice(&signature[..32]);
    items.extend_from_slice(&vs);
}

fn transfer_input(auth: &Authorization, signature: &SignatureBytes) -> Bytes {
    UsdcDouble::transferWithAuthorization_1Call {
        from: auth.from,
        to: auth.to,
        value: U256::from(auth.value.0),
        validAfter: U256::from(auth.valid_after),
        validBefore: U256::from(auth.valid_before),
        nonce: auth.nonce,
        v: signature[64],
        r: B256::from_slice(&signature[..32]),
        s: B256::from_slice(&signature[32..64]),
    }
    .abi_encode()
    .into()
}

/// Translates USDC's revert strings. Source: FiatTokenV2_2's public revert strings, which the project's double repeats.
pub(crate) fn reason_of(text: &str) -> WaitReason {
    let cases = [
        ("transfer amount exceeds balance", WaitReason::Unfunded),
        ("authorization is used or canceled", WaitReason::AuthorizationUsedOrCancelled),
        ("authorization is expired", WaitReason::AuthorizationExpired),
        ("authorization is not yet valid", WaitReason::AuthorizationNotYetValid),
        ("invalid signature", WaitReason::SignatureRefused),
        ("account is blacklisted", WaitReason::Blacklisted),
        ("Pausable: paused", WaitReason::AssetPaused),
    ];
    cases.iter().find(|(phrase, _)| text.contains(phrase)).map_or(WaitReason::Unexplained, |(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::examples;

    fn packed(auth: &Authorization, signature: SignatureBytes) -> Vec<u8> {
        let mut items = Vec::new();
        pack(&mut items, auth, &signature);
        items
    }

    #[test]
    fn an_authorization_is_packed_as_the_contracts_read_it() {
        let auth = examples::request().into_fields().authorization;
        let items = packed(&auth, SignatureBytes::repeat_byte(28));
        assert_eq!(items.len(), 114);
        assert_eq!(&items[..8], &100_000_u64.to_be_bytes());
        assert_eq!(&items[8..13], &1_799_999_400_u64.to_be_bytes()[3..]);
        assert_eq!(items[82], 28 | 0x80, "v 28 is the top bit of vs");
    }

    #[test]
    fn a_forged_authorization_has_no_other_meaning() {
        let mut auth = examples::request().into_fields().authorization;
        auth.valid_after = u64::MAX;
        let items = packed(&auth, SignatureBytes::ZERO);
        assert_eq!(items[8], 0x7f, "not signed to receive");
        assert_ne!(items[82..], [0; 32], "no pointer to a signature");
    }

    #[test]
    fn usdcs_revert_strings_become_reasons() {
        assert_eq!(reason_of("ERC20: transfer amount exceeds balance"), WaitReason::Unfunded);
        assert_eq!(
            reason_of("FiatTokenV2: authorization is used or canceled"),
            WaitReason::AuthorizationUsedOrCancelled
        );
        assert_eq!(reason_of("ECRecover: invalid signature 's' value"), WaitReason::SignatureRefused);
        assert_eq!(reason_of("something else"), WaitReason::Unexplained);
    }
}
