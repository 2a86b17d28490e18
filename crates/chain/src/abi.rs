//! Bindings to the compiled contracts: the ABI that is committed in `contracts/artifacts` is the ABI that is used.
#![allow(missing_docs, clippy::too_many_arguments)]

use alloy::sol;

sol!(Hub, "../../contracts/artifacts/Hub.json");
sol!(MintToken, "../../contracts/artifacts/MintToken.json");
sol!(TokenFactory, "../../contracts/artifacts/TokenFactory.json");
sol!(UsdcDouble, "../../contracts/artifacts/UsdcDouble.json");

sol! {
    /// Predeploy of chains of the OP stack. Source: `GasPriceOracle.sol` of the `optimism` repository, Isthmus.
    interface GasPriceOracle {
        /// The highest fee for the data of a transaction of so many bytes, wei.
        function getL1FeeUpperBound(uint256 unsignedTxSize) external view returns (uint256);
        /// The operator's fee for so much gas, wei.
        function getOperatorFee(uint256 gasUsed) external view returns (uint256);
    }
}
