// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {LibClone} from "solady/src/utils/LibClone.sol";
import {MintToken} from "./MintToken.sol";

/// @title TokenFactory: creates the tokens and decides who may mint and refund.
/// @notice Anyone may create a token. Its address follows from the payment key and the whole configuration: a second
/// attempt finds the same token, and another configuration has another address, so nobody can occupy one in advance.
/// @dev The owner appoints minters and operators for all tokens of this factory and can do nothing else: no token can
/// be changed, paused or emptied by it. See `MintToken` for what each role can and cannot do.
contract TokenFactory {
    /// @notice The terms of a token; none can be changed later.
    /// @param name ERC-20 name, 1 to 64 bytes.
    /// @param symbol ERC-20 symbol, 1 to 16 bytes.
    /// @param unit Token base units (10^-18) in one unit.
    /// @param maxUnits The largest number of units that can ever exist.
    /// @param price Atomic units of the asset for one unit.
    /// @param creator The earner.
    struct TokenConfig {
        string name;
        string symbol;
        uint128 unit;
        uint64 maxUnits;
        uint64 price;
        address creator;
    }

    /// @notice The asset has no code.
    error AssetHasNoCode(address asset);
    /// @notice An account is required, and the zero address was given.
    error ZeroAddress();
    /// @notice The caller is not the owner.
    error NotOwner(address caller);
    /// @notice The caller is not the account to which the ownership was offered.
    error NotPendingOwner(address caller);
    /// @notice The unit is zero.
    error ZeroUnit();
    /// @notice The maximum number of units is zero.
    error ZeroMaxUnits();
    /// @notice The price is zero: every payment would pay for any quantity.
    error ZeroPrice();
    /// @notice `unit * maxUnits` exceeds a uint128. Within it neither a balance nor the supply can overflow, here or in
    /// the many contracts that keep token amounts in a uint128. A mint therefore cannot fail by overflow.
    error SupplyTooLarge(uint256 supply);
    /// @notice The creator is the zero address or the asset: the earnings would be lost.
    error BadCreator(address creator);
    /// @notice The name is not 1 to 64 bytes long.
    error BadNameLength(uint256 length);
    /// @notice The symbol is not 1 to 16 bytes long.
    error BadSymbolLength(uint256 length);

    /// @notice A token was created. Emitted once per token, whoever called.
    event TokenCreated(
        address indexed token,
        address indexed creator,
        bytes32 indexed paymentKey,
        bytes32 configHash,
        TokenConfig config
    );
    /// @notice `account` may, or may no longer, mint all tokens of this factory.
    event MinterSet(address indexed account, bool allowed);
    /// @notice `account` may, or may no longer, refund payments of all tokens of this factory.
    event OperatorSet(address indexed account, bool allowed);
    /// @notice `newOwner` may accept the ownership.
    event OwnershipTransferStarted(address indexed previousOwner, address indexed newOwner);
    /// @notice The ownership changed hands.
    event OwnershipTransferred(address indexed previousOwner, address indexed newOwner);

    /// @notice Longest name, in bytes.
    uint256 public constant MAX_NAME_LENGTH = 64;
    /// @notice Longest symbol, in bytes.
    uint256 public constant MAX_SYMBOL_LENGTH = 16;

    /// @notice The asset in which all tokens of this factory are paid (USDC).
    address public immutable asset;
    /// @notice The code that all tokens share.
    address public immutable implementation;

    /// @notice The account that appoints minters and operators.
    address public owner;
    /// @notice The account to which the ownership is offered, or the zero address.
    address public pendingOwner;
    /// @notice True if `account` may mint all tokens of this factory.
    mapping(address account => bool) public isMinter;
    /// @notice True if `account` may refund payments of all tokens of this factory.
    mapping(address account => bool) public isOperator;

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner(msg.sender);
        _;
    }

    /// @param asset_ The asset in which is paid; it must already be deployed.
    /// @param owner_ The first owner.
    constructor(address asset_, address owner_) {
        if (asset_.code.length == 0) revert AssetHasNoCode(asset_);
        if (owner_ == address(0)) revert ZeroAddress();
        asset = asset_;
        implementation = address(new MintToken());
        owner = owner_;
        emit OwnershipTransferred(address(0), owner_);
    }

    /// @notice Creates the token of this payment key and configuration, or finds the existing one.
    /// @dev Open to everyone and idempotent: if the token exists, it returns the address and emits nothing. So the
    /// `TokenCreated` event may be in somebody else's transaction, which is not a failure.
    /// @param paymentKey The payment that ordered the token.
    /// @param config The terms. Impossible ones are refused with a custom error.
    /// @return token The address that `predictToken` returns.
    function createToken(bytes32 paymentKey, TokenConfig calldata config) external returns (address token) {
        (bytes memory arguments, bytes32 hash, bytes32 salt) = _plan(paymentKey, config);
        bool exists;
        (exists, token) = LibClone.createDeterministicClone(implementation, arguments, salt);
        if (!exists) emit TokenCreated(token, config.creator, paymentKey, hash, config);
    }

    /// @notice The address that `createToken` returns, before or after it is called. Refuses what `createToken`
    /// refuses.
    function predictToken(bytes32 paymentKey, TokenConfig calldata config) external view returns (address) {
        (bytes memory arguments,, bytes32 salt) = _plan(paymentKey, config);
        return LibClone.predictDeterministicAddress(implementation, arguments, salt, address(this));
    }

    /// @notice `keccak256(abi.encode(config, asset))`: commits to the terms and the asset, on every chain.
    function configHash(TokenConfig calldata config) public view returns (bytes32) {
        return keccak256(abi.encode(config, asset));
    }

    /// @notice Allows or forbids `account` to mint. Forbidding is the answer to a stolen minter key.
    function setMinter(address account, bool allowed) external onlyOwner {
        if (account == address(0)) revert ZeroAddress();
        isMinter[account] = allowed;
        emit MinterSet(account, allowed);
    }

    /// @notice Allows or forbids `account` to refund. Forbidding is the answer to a stolen operator key.
    function setOperator(address account, bool allowed) external onlyOwner {
        if (account == address(0)) revert ZeroAddress();
        isOperator[account] = allowed;
        emit OperatorSet(account, allowed);
    }

    /// @notice Offers the ownership to `newOwner`, who must accept it. The zero address withdraws an offer.
    function transferOwnership(address newOwner) external onlyOwner {
        pendingOwner = newOwner;
        emit OwnershipTransferStarted(owner, newOwner);
    }

    /// @notice Accepts the ownership that was offered to the caller.
    function acceptOwnership() external {
        if (msg.sender != pendingOwner) revert NotPendingOwner(msg.sender);
        emit OwnershipTransferred(owner, msg.sender);
        owner = msg.sender;
        pendingOwner = address(0);
    }

    /// @dev Checks the configuration. Returns the clone's immutable arguments (laid out as `MintToken` reads them), the
    /// configuration's hash and the CREATE2 salt, which commits to both the payment key and that hash.
    function _plan(bytes32 paymentKey, TokenConfig calldata config)
        private
        view
        returns (bytes memory arguments, bytes32 hash, bytes32 salt)
    {
        _check(config);
        arguments = abi.encodePacked(
            config.unit,
            config.maxUnits,
            config.price,
            asset,
            config.creator,
            uint8(bytes(config.name).length),
            config.name,
            config.symbol
        );
        hash = configHash(config);
        salt = keccak256(abi.encode(paymentKey, hash));
    }

    function _check(TokenConfig calldata config) private view {
        if (config.unit == 0) revert ZeroUnit();
        if (config.maxUnits == 0) revert ZeroMaxUnits();
        if (config.price == 0) revert ZeroPrice();
        uint256 supply = uint256(config.unit) * config.maxUnits;
        if (supply > type(uint128).max) revert SupplyTooLarge(supply);
        if (config.creator == address(0) || config.creator == asset) revert BadCreator(config.creator);
        uint256 length = bytes(config.name).length;
        if (length == 0 || length > MAX_NAME_LENGTH) revert BadNameLength(length);
        length = bytes(config.symbol).length;
        if (length == 0 || length > MAX_SYMBOL_LENGTH) revert BadSymbolLength(length);
    }
}
