//! Bindings to the compiled contracts: the ABI that is committed in `contracts/artifacts` is the ABI that is used.
#![allow(missing_docs, clippy::too_many_arguments)]

use alloy::sol;

sol!(Settlement, "../../contracts/artifacts/Settlement.json");
sol!(MintToken, "../../contracts/artifacts/MintToken.json");
sol!(TokenFactory, "../../contracts/artifacts/TokenFactory.json");
sol!(UsdcDouble, "../../contracts/artifacts/UsdcDouble.json");

/// The contracts that take the payment themselves. They replace those above once the services speak to them.
pub mod next {
    use alloy::sol;

    sol!(Hub, "../../contracts/next/artifacts/Hub.json");
    sol!(MintToken, "../../contracts/next/artifacts/MintToken.json");
    sol!(TokenFactory, "../../contracts/next/artifacts/TokenFactory.json");
}
