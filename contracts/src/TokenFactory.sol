// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {LibClone} from "solady/src/utils/LibClone.sol";
import {IAsset} from "./IAsset.sol";
import {MintToken} from "./MintToken.sol";
import {Names} from "./Names.sol";
import {Roles} from "./Roles.sol";

/// @title TokenFactory: a token is paid for and created in one transaction, or neither.
/// @notice The payee of a deployment is the address of the token to be, which commits to the whole configuration, the fee
/// included. So the payer's signature names the configuration, and code at that address means that the fee was paid, once.
/// Whoever has the configuration can complete what was paid.
/// @dev Nothing changeable decides whether a configuration can be deployed: money may lie at the address of any that
/// `predictToken` accepts, and it must always be deployable.
contract TokenFactory is Roles {
    /// @notice The terms of a token; none can be changed later.
    /// @param name ERC-20 name, 1 to 64 bytes, see `Names`.
    /// @param symbol ERC-20 symbol, 1 to 16 bytes, see `Names`.
    /// @param unit Token base units (10^-18) in one unit.
    /// @param maxUnits The largest number of units that can ever exist.
    /// @param price Atomic units of the asset for one unit.
    /// @param creator The earner.
    /// @param fee The price of the deployment in atomic units of the asset; 0 is free.
    /// @param metadataHash The hash of a document about the token; any value.
    /// @param salt Makes further tokens of the same terms possible; any value.
    struct TokenConfig {
        string name;
        string symbol;
        uint128 unit;
        uint64 maxUnits;
        uint64 price;
        address creator;
        uint64 fee;
        bytes32 metadataHash;
        bytes32 salt;
    }

    /// @notice A TransferWithAuthorization of the fee to the token to be. All zero: the money lies there already.
    /// @param payer The signer.
    /// @param validAfter The signed time, Unix seconds.
    /// @param validBefore The signed time, Unix seconds.
    /// @param nonce The signed nonce.
    /// @param gas For the asset's call at most; 0 is all that there is.
    /// @param signature 65 bytes, or what the payer's ERC-1271 accepts.
    struct Payment {
        address payer;
        uint40 validAfter;
        uint40 validBefore;
        bytes32 nonce;
        uint64 gas;
        bytes signature;
    }

    /// @notice The asset has no code.
    error AssetHasNoCode(address asset);
    /// @notice The unit is zero.
    error ZeroUnit();
    /// @notice The maximum number of units is zero.
    error ZeroMaxUnits();
    /// @notice The price is zero: every payment would pay for any quantity.
    error ZeroPrice();
    /// @notice `unit * maxUnits` exceeds a uint128. Within it neither a balance nor the supply can overflow, here or in
    /// the many contracts that keep token amounts in a uint128. A mint therefore cannot fail by overflow.
    error SupplyTooLarge(uint256 supply);
    /// @notice The creator is the zero address, the asset, the hub, this factory or the code of its tokens: the earnings
    /// would be lost, or anybody's.
    error BadCreator(address creator);
    /// @notice The fee is not at the address, and no payment was given.
    error Unpaid(address token, uint256 fee, uint256 held);
    /// @notice The asset refused the payment, or its gas was too little.
    error PaymentFailed(address token);

    /// @notice A token was created; its code and this event tell its whole configuration. Emitted once per token,
    /// whoever called.
    event TokenCreated(
        address indexed token, address indexed creator, uint256 fee, bytes32 metadataHash, bytes32 salt
    );
    /// @notice The result of every item of a `deploy`, in the given order.
    event Deployments(bytes results);

    // Results of `deploy`; the first three are also the second return value of `deployOne`.
    uint8 private constant DEPLOYED = 0;
    uint8 private constant FOUND = 1;
    uint8 private constant COMPLETED = 2;
    uint8 private constant UNPAID = 3;
    uint8 private constant PAYMENT_FAILED = 4;
    uint8 private constant NOT_ATTEMPTED = 5;
    uint8 private constant IMPOSSIBLE = 6;
    uint8 private constant UNFINISHED = 7;

    /// @notice Gas that `deploy` keeps back for the result of an item, the event and the return value.
    uint256 public constant RESERVE_GAS = 20_000;

    /// @notice The asset in which all tokens of this factory are paid (USDC).
    address public immutable asset;
    /// @notice The hub through which anybody calls many tokens at once; it can be no creator.
    address public immutable hub;
    /// @notice The code that all tokens share.
    address public immutable implementation;

    /// @param asset_ The asset in which is paid; it must already be deployed.
    /// @param hub_ The hub, or the zero address.
    /// @param seats The first holders of the roles, see `Roles`.
    constructor(address asset_, address hub_, Seats memory seats) Roles(seats) {
        if (asset_.code.length == 0) revert AssetHasNoCode(asset_);
        asset = asset_;
        hub = hub_;
        implementation = address(new MintToken(asset_));
    }

    /// @notice Tries many deployments, each alone, all or nothing. Anyone may call it.
    /// @dev One byte per item: 0 paid here and created; 1 the token was there, nothing was paid here; 2 created with money
    /// that lay there, nothing was paid here; 3 no money there and no payment given; 4 the payment failed; 5 not
    /// attempted: gas ran short; 6 impossible configuration, permanently; 7 not done, and nothing is known about the
    /// configuration: `gasPerItem` was too little, the item is malformed, or the asset did not answer as it should.
    /// @param gasPerItem Gas for one item.
    /// @param items Each is `abi.encode(TokenConfig, Payment)`.
    /// @return results One byte per item.
    function deploy(uint256 gasPerItem, bytes[] calldata items) external returns (bytes memory results) {
        uint256 callGas = gasPerItem > type(uint64).max ? type(uint64).max : gasPerItem;
        results = new bytes(items.length);
        for (uint256 i = 0; i < items.length; ++i) {
            results[i] = bytes1(uint8(_tryOne(callGas, items[i])));
        }
        emit Deployments(results);
    }

    /// @notice One deployment, or a revert that says why and leaves nothing behind. Anyone may call it.
    /// @dev The way out of a payer whose authorization somebody else submitted: the configuration and an empty payment.
    /// @return token The address that `predictToken` returns.
    /// @return how 0 paid here and created; 1 found, nothing moved; 2 created with money that lay there.
    function deployOne(TokenConfig calldata config, Payment calldata payment)
        external
        returns (address token, uint256 how)
    {
        (bytes memory arguments, bytes32 salt) = _plan(config);
        token = LibClone.predictDeterministicAddress(implementation, arguments, salt, address(this));
        if (token.code.length != 0) return (token, FOUND);

        how = COMPLETED;
        uint256 fee = config.fee;
        if (fee != 0) {
            uint256 held = IAsset(asset).balanceOf(token);
            if (held < fee) {
                if (payment.payer == address(0) && payment.signature.length == 0) revert Unpaid(token, fee, held);
                if (!_pull(token, fee, payment)) revert PaymentFailed(token);
                how = DEPLOYED;
            }
        }
        LibClone.cloneDeterministic(implementation, arguments, salt); // reverts if the payer's code created it meanwhile
        if (fee != 0) MintToken(token).takeFee(treasury(), fee); // reverts if the fee is not there
        emit TokenCreated(token, config.creator, fee, config.metadataHash, config.salt);
    }

    /// @notice The address of a token, before or after its creation. Refuses exactly what `deployOne` refuses as
    /// impossible: what is refused here was never deployable, what is not refused always is.
    function predictToken(TokenConfig calldata config) external view returns (address) {
        (bytes memory arguments, bytes32 salt) = _plan(config);
        return LibClone.predictDeterministicAddress(implementation, arguments, salt, address(this));
    }

    /// @notice `keccak256(abi.encode(config))`, the CREATE2 salt.
    function configHash(TokenConfig calldata config) public pure returns (bytes32) {
        return keccak256(abi.encode(config));
    }

    function _tryOne(uint256 callGas, bytes calldata item) private returns (uint256) {
        bytes memory input = bytes.concat(this.deployOne.selector, item);
        // After the copy, which costs gas, too. EIP-150: a call gets 63/64 of what is left.
        if (gasleft() < callGas + callGas / 63 + RESERVE_GAS) return NOT_ATTEMPTED;
        bool ok;
        uint256 first;
        uint256 second;
        assembly ("memory-safe") {
            mstore(0, 0)
            ok := call(callGas, address(), 0, add(input, 0x20), mload(input), 0, 0x40)
            first := mload(0)
            second := mload(0x20)
        }
        if (ok) return second;
        bytes4 reason = bytes4(bytes32(first));
        if (reason == PaymentFailed.selector || reason == MintToken.FeeMissing.selector) return PAYMENT_FAILED;
        if (reason == Unpaid.selector) return UNPAID;
        return _isImpossible(reason) ? IMPOSSIBLE : UNFINISHED;
    }

    /// @dev True for the reasons that `_check` gives. Any other one, such as that of an asset that does not answer now, says
    /// nothing about the configuration.
    function _isImpossible(bytes4 reason) private pure returns (bool) {
        return reason == ZeroUnit.selector || reason == ZeroMaxUnits.selector || reason == ZeroPrice.selector
            || reason == SupplyTooLarge.selector || reason == BadCreator.selector
            || reason == Names.BadNameLength.selector || reason == Names.BadSymbolLength.selector
            || reason == Names.BadText.selector;
    }

    /// @dev transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes), value being the fee.
    function _pull(address token, uint256 fee, Payment calldata payment) private returns (bool ok) {
        bytes memory data = abi.encodeWithSelector(
            bytes4(0xcf092995),
            payment.payer,
            token,
            fee,
            payment.validAfter,
            payment.validBefore,
            payment.nonce,
            payment.signature
        );
        uint256 callGas = payment.gas == 0 ? type(uint64).max : payment.gas;
        address asset_ = asset;
        assembly ("memory-safe") {
            ok := call(callGas, asset_, 0, add(data, 0x20), mload(data), 0, 0)
        }
    }

    /// @dev Checks the configuration. Returns the clone's immutable arguments, laid out as `Terms` reads them, and the
    /// CREATE2 salt, which commits to every field.
    function _plan(TokenConfig calldata config) private view returns (bytes memory arguments, bytes32 salt) {
        _check(config);
        arguments = abi.encodePacked(
            config.unit,
            config.maxUnits,
            config.price,
            config.creator,
            uint8(bytes(config.name).length),
            config.name,
            config.symbol
        );
        salt = configHash(config);
    }

    function _check(TokenConfig calldata config) private view {
        if (config.unit == 0) revert ZeroUnit();
        if (config.maxUnits == 0) revert ZeroMaxUnits();
        if (config.price == 0) revert ZeroPrice();
        uint256 supply = uint256(config.unit) * config.maxUnits;
        if (supply > type(uint128).max) revert SupplyTooLarge(supply);
        address c = config.creator;
        if (c == address(0) || c == asset || c == hub || c == address(this) || c == implementation) revert BadCreator(c);
        Names.check(config.name, config.symbol);
    }
}
