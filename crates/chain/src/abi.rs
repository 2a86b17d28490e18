//! Bindings to the compiled contracts: the ABI that is committed in `contracts/artifacts` is the ABI that is used.
#![allow(missing_docs, clippy::too_many_arguments)]

use alloy::sol;

sol!(Hub, "../../contracts/artifacts/Hub.json");
sol!(MintToken, "../../contracts/artifacts/MintToken.json");
sol!(TokenFactory, "../../contracts/artifacts/TokenFactory.json");
sol!(UsdcDouble, "../../contracts/artifacts/UsdcDouble.json");
