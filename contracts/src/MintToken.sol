// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "solady/src/tokens/ERC20.sol";
import {LibClone} from "solady/src/utils/LibClone.sol";
import {SafeTransferLib} from "solady/src/utils/SafeTransferLib.sol";
import {TokenFactory} from "./TokenFactory.sol";

/// @title MintToken: an ERC-20 whose units are minted for payments that the token itself holds.
/// @notice Buyers pay `price` of the asset per unit to this contract. A minter mints for a payment at most once; an
/// operator may refund a payment that was not minted; the creator gets `price` for every unit minted, and no more.
/// @dev A clone with immutable arguments, created by `TokenFactory`. Its terms cannot change.
///
/// Promises, kept by this code whatever its callers do:
/// - a payment key is minted at most once, refunded at most once, and never both;
/// - `unitsMinted * price` never exceeds what was paid in and not refunded, so that a stolen minter key cannot mint
///   more than was paid (it can choose the recipients of what was paid and not yet minted);
/// - a refund takes only what is not earned, so that a stolen operator key cannot touch the creator's money;
/// - one bad item of a batch is skipped and reported, and never stops the others.
///
/// Books: `earned` = `unitsMinted * price`; the asset balance = received - `withdrawn` - `refunded`.
/// Only the asset and the factory are called; money moves after the books, under a lock that also covers minting.
contract MintToken is ERC20 {
    /// @notice The caller may not mint.
    error NotMinter(address caller);
    /// @notice The caller may not refund.
    error NotOperator(address caller);
    /// @notice The three lists of a batch differ in length.
    error LengthMismatch();
    /// @notice Called on the implementation, which is not a token.
    error NotAToken();
    /// @notice Called during another call of this token.
    error Reentered();
    /// @notice The payment was already minted (1) or refunded (2).
    error AlreadyDone(bytes32 paymentKey, uint8 outcome);
    /// @notice A refund of zero is refused, because its outcome would claim that money was returned.
    error ZeroAmount();
    /// @notice More than what is held and not earned.
    error NotRefundable(uint256 amount, uint256 available);
    /// @notice The zero address or this token.
    error BadRecipient(address recipient);

    /// @notice The result of every item, in the given order. Emitted once per batch.
    /// @param paymentKeys The payments, as given.
    /// @param results One byte per item, see `batchMint`.
    event MintBatch(bytes32[] paymentKeys, bytes results);

    /// @notice `amount` of the asset was returned to `payer`. This payment can never be minted.
    event Refunded(bytes32 indexed paymentKey, address indexed payer, uint256 amount);

    /// @notice `amount` of the asset went to the creator.
    event Withdrawn(address indexed creator, uint256 amount);

    // Results of an item.
    bytes1 private constant MINTED = 0x00;
    bytes1 private constant ALREADY_MINTED = 0x01;
    bytes1 private constant ALREADY_REFUNDED = 0x02;
    bytes1 private constant OVER_CAP = 0x03;
    bytes1 private constant BAD_RECIPIENT = 0x04;
    bytes1 private constant UNPAID = 0x05;
    bytes1 private constant ZERO_QUANTITY = 0x06;

    // Outcomes of a payment.
    uint8 private constant OUTCOME_NONE = 0;
    uint8 private constant OUTCOME_MINTED = 1;
    uint8 private constant OUTCOME_REFUNDED = 2;

    // Offsets of the immutable arguments, which `TokenFactory` packs.
    uint256 private constant UNIT_AT = 0;
    uint256 private constant MAX_UNITS_AT = 16;
    uint256 private constant PRICE_AT = 24;
    uint256 private constant ASSET_AT = 32;
    uint256 private constant CREATOR_AT = 52;
    uint256 private constant NAME_LENGTH_AT = 72;
    uint256 private constant NAME_AT = 73;

    /// @notice The factory that created this token and that decides who may mint and refund.
    TokenFactory public immutable factory;
    address private immutable _implementation;

    // One slot: a batch reads it once and writes it once.
    uint64 private _unitsMinted;
    uint128 private _withdrawn; // <= unitsMinted * price < 2^128

    uint256 private _refunded;
    mapping(bytes32 paymentKey => uint256) private _outcomes; // one word each: a smaller type is read before every write
    bool private transient _entered;

    /// @dev The immutable arguments that a batch uses, and its running state.
    struct MintState {
        uint256 unit;
        uint256 maxUnits;
        uint256 paidUnits;
        uint256 unitsMinted;
    }

    modifier guarded() {
        if (_entered) revert Reentered();
        if (address(this) == _implementation) revert NotAToken();
        _entered = true;
        _;
        _entered = false;
    }

    /// @dev Deployed by the factory as the code that all tokens share.
    constructor() {
        factory = TokenFactory(msg.sender);
        _implementation = address(this);
    }

    /// @notice Mints for every payment to which units are due, skips the others, and reports all in one `MintBatch`
    /// event.
    /// @dev Never reverts because of an item, so that a batch can always be sent again. The result is the first that
    /// applies, in this order:
    /// 1 already minted; 2 refunded; 6 quantity is zero; 4 bad recipient (zero address or this token); 3 over
    /// `maxUnits`;
    /// 5 unpaid: `unitsMinted * price` would exceed the asset's balance here plus `withdrawn`, read once per batch;
    /// 0 minted `quantity * unit` to the recipient.
    /// @param to The recipient of the units of each item.
    /// @param quantities The number of units of each item.
    /// @param paymentKeys The key of the payment for each item.
    /// @return results One byte per item.
    function batchMint(address[] calldata to, uint32[] calldata quantities, bytes32[] calldata paymentKeys)
        external
        guarded
        returns (bytes memory results)
    {
        if (!factory.isMinter(msg.sender)) revert NotMinter(msg.sender);
        if (to.length != paymentKeys.length || quantities.length != paymentKeys.length) revert LengthMismatch();

        MintState memory state = _mintState();
        results = new bytes(paymentKeys.length);
        for (uint256 i = 0; i < paymentKeys.length; ++i) {
            results[i] = _mintOne(state, to[i], quantities[i], paymentKeys[i]);
        }
        _unitsMinted = uint64(state.unitsMinted); // <= maxUnits, which is a uint64
        emit MintBatch(paymentKeys, results);
    }

    /// @notice Returns `amount` of the asset to `payer` and closes the payment: it can never be minted.
    /// @dev Only by an operator, only for a payment without an outcome, and only from money that is held and not
    /// earned.
    /// @param payer The recipient of the money. The operator knows who paid; the token does not.
    /// @param amount Atomic units of the asset, not zero.
    /// @param paymentKey The payment to close.
    function refund(address payer, uint256 amount, bytes32 paymentKey) external guarded {
        if (!factory.isOperator(msg.sender)) revert NotOperator(msg.sender);
        if (payer == address(0) || payer == address(this)) revert BadRecipient(payer);
        if (amount == 0) revert ZeroAmount();
        uint8 done = outcome(paymentKey);
        if (done != OUTCOME_NONE) revert AlreadyDone(paymentKey, done);
        uint256 available = refundable();
        if (amount > available) revert NotRefundable(amount, available);

        _outcomes[paymentKey] = OUTCOME_REFUNDED;
        _refunded += amount;
        emit Refunded(paymentKey, payer, amount);
        SafeTransferLib.safeTransfer(asset(), payer, amount);
    }

    /// @notice Pays the creator everything earned and not yet withdrawn. Anyone may call it. Without a sum due it does
    /// nothing.
    function withdraw() external guarded {
        uint256 total = earned();
        uint256 due = total - _withdrawn;
        if (due == 0) return;

        _withdrawn = uint128(total); // uint64 * uint64
        address creator_ = creator();
        emit Withdrawn(creator_, due);
        SafeTransferLib.safeTransfer(asset(), creator_, due);
    }

    /// @notice The outcome of a payment: 0 none yet, 1 minted, 2 refunded. Never changes once it is not 0.
    function outcome(bytes32 paymentKey) public view returns (uint8) {
        return uint8(_outcomes[paymentKey]);
    }

    /// @notice Returns true if the payment was minted.
    function hasMinted(bytes32 paymentKey) external view returns (bool) {
        return _outcomes[paymentKey] == OUTCOME_MINTED;
    }

    /// @notice Units minted so far; at most `maxUnits`.
    function unitsMinted() external view returns (uint64) {
        return _unitsMinted;
    }

    /// @notice The creator's share so far, withdrawn or not: `unitsMinted * price`, in atomic units of the asset.
    function earned() public view returns (uint256) {
        return uint256(_unitsMinted) * price();
    }

    /// @notice The sum paid to the creator so far, in atomic units of the asset.
    function withdrawn() external view returns (uint256) {
        return _withdrawn;
    }

    /// @notice The sum returned to payers so far, in atomic units of the asset.
    function refunded() external view returns (uint256) {
        return _refunded;
    }

    /// @notice The sum held and not earned: payments that wait for their mint or their refund, and gifts.
    function refundable() public view returns (uint256) {
        uint256 held = SafeTransferLib.balanceOf(asset(), address(this));
        uint256 owed = earned() - _withdrawn;
        return held > owed ? held - owed : 0;
    }

    /// @notice Token base units (10^-18) in one unit.
    function unit() external view returns (uint128) {
        return uint128(bytes16(_argument(UNIT_AT)));
    }

    /// @notice The largest number of units that can ever exist.
    function maxUnits() external view returns (uint64) {
        return uint64(bytes8(_argument(MAX_UNITS_AT)));
    }

    /// @notice Atomic units of the asset for one unit.
    function price() public view returns (uint64) {
        return uint64(bytes8(_argument(PRICE_AT)));
    }

    /// @notice The asset that pays (USDC).
    function asset() public view returns (address) {
        return address(bytes20(_argument(ASSET_AT)));
    }

    /// @notice The earner, and the only address that `withdraw` pays.
    function creator() public view returns (address) {
        return address(bytes20(_argument(CREATOR_AT)));
    }

    /// @notice The ERC-20 name.
    function name() public view override returns (string memory) {
        return string(LibClone.argsOnClone(address(this), NAME_AT, NAME_AT + _nameLength()));
    }

    /// @notice The ERC-20 symbol.
    function symbol() public view override returns (string memory) {
        return string(LibClone.argsOnClone(address(this), NAME_AT + _nameLength()));
    }

    function _mintOne(MintState memory state, address to, uint256 quantity, bytes32 paymentKey)
        private
        returns (bytes1)
    {
        uint256 done = _outcomes[paymentKey];
        if (done != OUTCOME_NONE) return done == OUTCOME_MINTED ? ALREADY_MINTED : ALREADY_REFUNDED;
        if (quantity == 0) return ZERO_QUANTITY;
        if (to == address(0) || to == address(this)) return BAD_RECIPIENT;
        uint256 units = state.unitsMinted + quantity;
        if (units > state.maxUnits) return OVER_CAP;
        if (units > state.paidUnits) return UNPAID;

        state.unitsMinted = units;
        _outcomes[paymentKey] = OUTCOME_MINTED;
        _mint(to, quantity * state.unit); // calls no hook of the recipient; the supply stays below 2^128
        return MINTED;
    }

    function _mintState() private view returns (MintState memory state) {
        bytes memory arguments = LibClone.argsOnClone(address(this), 0, NAME_LENGTH_AT);
        state.unit = uint128(bytes16(LibClone.argLoad(arguments, UNIT_AT)));
        state.maxUnits = uint64(bytes8(LibClone.argLoad(arguments, MAX_UNITS_AT)));
        state.unitsMinted = _unitsMinted;
        // Whole paid units: units * price <= paid means units <= paid / price.
        uint256 paid = SafeTransferLib.balanceOf(address(bytes20(LibClone.argLoad(arguments, ASSET_AT))), address(this))
            + _withdrawn;
        state.paidUnits = paid / uint64(bytes8(LibClone.argLoad(arguments, PRICE_AT)));
    }

    /// @dev The word at `offset` of the immutable arguments.
    function _argument(uint256 offset) private view returns (bytes32) {
        return LibClone.argLoad(LibClone.argsOnClone(address(this), offset, offset + 32), 0);
    }

    function _nameLength() private view returns (uint256) {
        return uint8(_argument(NAME_LENGTH_AT)[0]);
    }

    /// @dev Refuses mints and transfers to the zero address or to this token, where units would be lost.
    function _beforeTokenTransfer(address, address to, uint256) internal view override {
        if (to == address(0) || to == address(this)) revert BadRecipient(to);
    }

    /// @dev Disables the infinite allowance for Permit2: only a holder gives allowances.
    function _givePermit2InfiniteAllowance() internal pure override returns (bool) {
        return false;
    }
}
