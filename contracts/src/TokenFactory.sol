// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {LibClone} from "solady/src/utils/LibClone.sol";
import {MintToken} from "./MintToken.sol";

/// @title TokenFactory: makes the tokens and says who may mint and refund.
/// @notice Anyone may create a token. Its address follows from the payment key and the whole configuration, so that a
/// second attempt finds the same token and another configuration is another address: nobody can squat one.
/// @dev The owner appoints minters and operators for all tokens of this factory and can do nothing else: no token can be
/// changed, paused or emptied by it. See `MintToken` for what each role can and cannot do.
contract TokenFactory {
    /// @notice The terms of a token; none can be changed later.
    /// @param name ERC-20 name, 1 to 64 bytes.
    /// @param symbol ERC-20 symbol, 1 to 16 bytes.
    /// @param unit Token base units (10^-18) in one unit.
    /// @param maxUnits How many units there can ever be.
    /// @param price Atomic units of the asset for one unit.
    /// @param creator Who earns.
    struct TokenConfig {
        string name;
        string symbol;
        uint128 unit;
        uint64 maxUnits;
        uint64 price;
        address creator;
    }

    /// @notice The asset had no code when the contract was deployed.
    error AssetHasNoCode(address asset);
    /// @notice The zero address where an account is needed.
    error ZeroAddress();
    /// @notice The caller is not the owner.
    error NotOwner(address caller);
    /// @notice The caller is not the account that the ownership was offered to.
    error NotPendingOwner(address caller);
    /// @notice A unit of nothing.
    error ZeroUnit();
    /// @notice A cap of nothing.
    error ZeroMaxUnits();
    /// @notice A price of nothing: every payment would pay for any quantity.
    error ZeroPrice();
    /// @notice `unit * maxUnits` exceeds a uint128. Within it neither a balance nor the supply can overflow, here or in
    /// the many contracts that keep token amounts in a uint128; a mint therefore cannot fail for arithmetic.
    error SupplyTooLarge(uint256 supply);
    /// @notice The creator is nobody or the asset: what is earned would be lost.
    error BadCreator(address creator);
    /// @notice The name is not 1 to 64 bytes long.
    error BadNameLength(uint256 length);
    /// @notice The symbol is not 1 to 16 bytes long.
    error BadSymbolLength(uint256 length);

    /// @notice A token came into being; emitted once per token, whoever asked for it.
    event TokenCreated(
        address indexed token,
        address indexed creator,
        bytes32 indexed paymentKey,
        bytes32 configHash,
        TokenConfig config
    );
    /// @notice `account` may (or may no longer) mint on all tokens of this factory.
    event MinterSet(address indexed account, bool allowed);
    /// @notice `account` may (or may no longer) refund on all tokens of this factory.
    event OperatorSet(address indexed account, bool allowed);
    /// @notice `newOwner` may accept the ownership.
    event OwnershipTransferStarted(address indexed previousOwner, address indexed newOwner);
    /// @notice The ownership changed hands.
    event OwnershipTransferred(address indexed previousOwner, address indexed newOwner);

    /// @notice Bytes of the longest name.
    uint256 public constant MAX_NAME_LENGTH = 64;
    /// @notice Bytes of the longest symbol.
    uint256 public constant MAX_SYMBOL_LENGTH = 16;

    /// @notice The asset that pays for all tokens of this factory (USDC).
    address public immutable asset;
    /// @notice The code that all tokens share.
    address public immutable implementation;

    /// @notice Who appoints minters and operators.
    address public owner;
    /// @notice Whom the ownership was offered to; the zero address if nobody.
    address public pendingOwner;
    /// @notice Whether `account` may mint on all tokens of this factory.
    mapping(address account => bool) public isMinter;
    /// @notice Whether `account` may refund on all tokens of this factory.
    mapping(address account => bool) public isOperator;

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner(msg.sender);
        _;
    }

    /// @param asset_ The asset that pays; has to be deployed already.
    /// @param owner_ The first owner.
    constructor(address asset_, address owner_) {
        if (asset_.code.length == 0) revert AssetHasNoCode(asset_);
        if (owner_ == address(0)) revert ZeroAddress();
        asset = asset_;
        implementation = address(new MintToken());
        owner = owner_;
        emit OwnershipTransferred(address(0), owner_);
    }

    /// @notice Creates the token of this payment key and configuration, or finds it.
    /// @dev Open to all and idempotent: if the token exists, returns its address and emits nothing. Therefore the
    /// `TokenCreated` event may be in somebody else's transaction; that is no failure.
    /// @param paymentKey Names the payment that asked for the token.
    /// @param config The terms; refused by a custom error if impossible.
    /// @return token The address, the same as `predictToken` gives.
    function createToken(bytes32 paymentKey, TokenConfig calldata config) external returns (address token) {
        (bytes memory arguments, bytes32 hash, bytes32 salt) = _plan(paymentKey, config);
        bool exists;
        (exists, token) = LibClone.createDeterministicClone(implementation, arguments, salt);
        if (!exists) emit TokenCreated(token, config.creator, paymentKey, hash, config);
    }

    /// @notice The address that `createToken` gives, before or after it was called. Refuses what `createToken` refuses.
    function predictToken(bytes32 paymentKey, TokenConfig calldata config) external view returns (address) {
        (bytes memory arguments,, bytes32 salt) = _plan(paymentKey, config);
        return LibClone.predictDeterministicAddress(implementation, arguments, salt, address(this));
    }

    /// @notice `keccak256(abi.encode(config, asset))`: commits to the terms and the asset, on whatever chain.
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

    /// @notice Offers the ownership to `newOwner`, who has to accept it; the zero address takes an offer back.
    function transferOwnership(address newOwner) external onlyOwner {
        pendingOwner = newOwner;
        emit OwnershipTransferStarted(owner, newOwner);
    }

    /// @notice Takes the ownership that was offered to the caller.
    function acceptOwnership() external {
        if (msg.sender != pendingOwner) revert NotPendingOwner(msg.sender);
        emit OwnershipTransferred(owner, msg.sender);
        owner = msg.sender;
        pendingOwner = address(0);
    }

    /// @dev Checks the configuration; gives the clone's immutable arguments (laid out as `MintToken` reads them), the
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
