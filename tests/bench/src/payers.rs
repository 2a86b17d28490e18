//! Payers with keys, money and signatures. All of it is made before a clock starts.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use chain::ChainError;
use dev_chain::DevChain;
use domain::{
    Authorization, PaymentKey, PaymentRequest, Purchase, Quantity, RequestFields, SignatureBytes, TokenTerms, Usdc,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use runtime::Fatal;
use secp256k1::SecretKey;
use std::time::SystemTime;

/// Where `UsdcDouble` keeps balances: the third of its variables (`_accounts`).
const BALANCES_SLOT: u64 = 2;
/// One dollar each: a payer keeps a balance, whatever is bought here.
const MONEY: Usdc = Usdc(1_000_000_000);
/// Signatures are good for this long unless payers are told otherwise: longer than any phase takes.
const WINDOW_S: u64 = 3_600;
/// Requests to the node at once while money is handed out.
const FUNDING_IN_FLIGHT: usize = 32;

/// Accounts that pay. The same name makes the same accounts.
pub struct Payers {
    keys: Vec<(SecretKey, Address)>,
    window_s: u64,
}

impl Payers {
    /// `count` accounts without money.
    ///
    /// # Errors
    /// A hash that is no key: never seen.
    pub fn new(name: &str, count: usize) -> Result<Self, Fatal> {
        let key = |index: usize| -> Result<_, Fatal> {
            let key = SecretKey::from_secret_bytes(keccak256(format!("paymint bench {name} {index}")).0)?;
            Ok((key, testkit::address_of(&key)))
        };
        let keys = (0..count).map(key).collect::<Result<_, _>>()?;
        Ok(Self { keys, window_s: WINDOW_S })
    }

    /// Makes what they sign from now on good for `window_s` seconds.
    pub fn lasting(self, window_s: u64) -> Self {
        Self { window_s, ..self }
    }

    /// Their addresses.
    pub fn addresses(&self) -> impl Iterator<Item = Address> {
        self.keys.iter().map(|(_, address)| *address)
    }

    /// Writes money into the double's storage: a thousand transactions would take longer than the bench.
    ///
    /// # Errors
    /// The node does not answer, or the double keeps its balances elsewhere by now.
    pub async fn fund(&self, chain: &DevChain, asset: Address) -> Result<(), Fatal> {
        let give = |payer: Address| give(chain, asset, payer);
        stream::iter(self.addresses()).map(give).buffer_unordered(FUNDING_IN_FLIGHT).try_collect::<()>().await?;
        for payer in self.addresses().take(1) {
            if chain.usdc_balance(asset, payer).await? != U256::from(MONEY.0) {
                return Err("UsdcDouble keeps its balances in another slot: change BALANCES_SLOT".into());
            }
        }
        Ok(())
    }

    /// Puts `code` at every account, as a delegation does (EIP-7702): USDC asks it about their signatures from now on.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn delegate(&self, chain: &DevChain, code: &Bytes) -> Result<(), Fatal> {
        let put = |payer: Address| chain.raw("anvil_setCode", (payer, code));
        Ok(stream::iter(self.addresses()).map(put).buffer_unordered(FUNDING_IN_FLIGHT).try_collect().await?)
    }

    /// `count` payments of one unit each, round the payers, beginning with the payer `first`; no two alike within a run
    /// and between runs.
    ///
    /// # Errors
    /// The clock is before 1970.
    pub fn sign(&self, terms: &TokenTerms, first: usize, count: usize) -> Result<Vec<PaymentRequest>, Fatal> {
        self.signed_by(0, terms, first, count)
    }

    /// Like [`Payers::sign`], but each payment is signed by the next payer's key: well-formed, and invalid.
    ///
    /// # Errors
    /// As [`Payers::sign`].
    pub fn forge(&self, terms: &TokenTerms, count: usize) -> Result<Vec<PaymentRequest>, Fatal> {
        self.signed_by(1, terms, 0, count)
    }

    fn signed_by(
        &self,
        next: usize,
        terms: &TokenTerms,
        first: usize,
        count: usize,
    ) -> Result<Vec<PaymentRequest>, Fatal> {
        let separator = x402::domain_separator("USDC", "2", terms.chain_id, terms.asset);
        let quantity = Quantity::new(1).ok_or("no quantity")?;
        let now_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let value = terms.unit_price;
        let signers = self.keys.iter().cycle().skip(first + next);
        let requests = self.keys.iter().cycle().skip(first).zip(signers).take(count).map(|((_, from), (key, _))| {
            let nonce = B256::from(rand::random::<[u8; 32]>());
            let (valid_after, valid_before) = (0, now_s + self.window_s);
            let authorization = Authorization { from: *from, to: terms.token, value, valid_after, valid_before, nonce };
            let signature =
                SignatureBytes::new(testkit::sign_digest(x402::transfer_digest(&separator, &authorization), key));
            PaymentRequest::new(RequestFields {
                payment_key: PaymentKey::new(terms.chain_id, terms.asset, *from, nonce),
                chain_id: terms.chain_id,
                asset: terms.asset,
                authorization,
                signature,
                purchase: Purchase::Mint { token: terms.token, quantity, unit_price: terms.unit_price },
            })
        });
        Ok(requests.collect::<Result<_, _>>()?)
    }
}

/// Gives one account money.
///
/// # Errors
/// The node does not answer.
pub async fn give(chain: &DevChain, asset: Address, payer: Address) -> Result<(), ChainError> {
    let slot = keccak256([payer.into_word(), B256::from(U256::from(BALANCES_SLOT))].concat());
    chain.raw("anvil_setStorageAt", (asset, slot, B256::from(U256::from(MONEY.0)))).await
}
