// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "solady/src/tokens/ERC20.sol";
import {LibClone} from "solady/src/utils/LibClone.sol";
import {SafeTransferLib} from "solady/src/utils/SafeTransferLib.sol";
import {TokenFactory} from "./TokenFactory.sol";

/// @title MintToken: an ERC-20 whose units are minted against payments that it holds itself.
/// @notice Buyers pay `price` of the asset per unit to this very contract. A minter mints for a payment at most once; an
/// operator may refund a payment that was not minted; the creator gets `price` for every unit minted, and no more.
/// @dev A clone with immutable arguments, made by `TokenFactory`; nothing of its terms can change.
///
/// Promises, kept here and relied on by nobody's good behaviour:
/// - a payment key is minted at most once, refunded at most once, and never both;
/// - `unitsMinted * price` never exceeds what was paid in and not refunded, so that a stolen minter key cannot mint more
///   than was paid (it can choose the recipients of what was paid and not yet minted);
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
    /// @notice Called on the implementation, which is no token.
    error NotAToken();
    /// @notice Called from within a call of this token.
    error Reentered();
    /// @notice The payment was minted (1) or refunded (2) already.
    error AlreadyDone(bytes32 paymentKey, uint8 outcome);
    /// @notice Refunds of nothing are refused: the outcome would say that money went back.
    error ZeroAmount();
    /// @notice More than what is held and not earned.
    error NotRefundable(uint256 amount, uint256 available);
    /// @notice The zero address or this token.
    error BadRecipient(address recipient);

    /// @notice What became of every item, in the order given; once per batch.
    /// @param paymentKeys The payments, as given.
    /// @param results One byte per item, see `batchMint`.
    event MintBatch(bytes32[] paymentKeys, bytes results);

    /// @notice `amount` of the asset went back to `payer`; this payment can never be minted.
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

    // Immutable arguments, packed by `TokenFactory`: where each begins.
    uint256 private constant UNIT_AT = 0;
    uint256 private constant MAX_UNITS_AT = 16;
    uint256 private constant PRICE_AT = 24;
    uint256 private constant ASSET_AT = 32;
    uint256 private constant CREATOR_AT = 52;
    uint256 private constant NAME_LENGTH_AT = 72;
    uint256 private constant NAME_AT = 73;

    /// @notice The factory that made this token and that says who may mint and refund.
    TokenFactory public immutable factory;
    address private immutable _implementation;

    // One slot: a batch reads it once and writes it once.
    uint64 private _unitsMinted;
    uint128 private _withdrawn; // <= unitsMinted * price < 2^128

    uint256 private _refunded;
    mapping(bytes32 paymentKey => uint256) private _outcomes; // a word each: a smaller type would be read before every write
    bool private transient _entered;

    /// @dev What a batch needs of the immutable arguments, and its running state.
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

    /// @dev Deployed by the factory, as the code that all tokens share.
    constructor() {
        factory = TokenFactory(msg.sender);
        _implementation = address(this);
    }

    /// @notice Mints for every payment that is due one, skips the rest, and says which: one `MintBatch` event.
    /// @dev Never reverts because of an item, so that the same batch may be sent again after anything. The first that
    /// applies, in this order:
    /// 1 already minted; 2 refunded; 6 quantity is zero; 4 bad recipient (zero address or this token); 3 over `maxUnits`;
    /// 5 unpaid: `unitsMinted * price` would exceed the asset's balance here plus `withdrawn`, read once per batch;
    /// 0 minted `quantity * unit` to the recipient.
    /// @param to Who receives the units of each item.
    /// @param quantities How many units.
    /// @param paymentKeys The payment that pays for each item.
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

    /// @notice Sends `amount` of the asset back to `payer` and closes the payment: it can never be minted.
    /// @dev Only an operator; only a payment with no outcome; only from what is held and not earned.
    /// @param payer Who gets the money: whoever paid, which the operator knows and the token does not.
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

    /// @notice Pays the creator what was earned and not yet withdrawn. Anyone may call it; nothing due, nothing happens.
    function withdraw() external guarded {
        uint256 total = earned();
        uint256 due = total - _withdrawn;
        if (due == 0) return;

        _withdrawn = uint128(total); // uint64 * uint64
        address creator_ = creator();
        emit Withdrawn(creator_, due);
        SafeTransferLib.safeTransfer(asset(), creator_, due);
    }

    /// @notice What became of a payment: 0 nothing yet, 1 minted, 2 refunded. Never changes once it is not 0.
    function outcome(bytes32 paymentKey) public view returns (uint8) {
        return uint8(_outcomes[paymentKey]);
    }

    /// @notice Whether the payment was minted.
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

    /// @notice What the creator was paid so far, in atomic units of the asset.
    function withdrawn() external view returns (uint256) {
        return _withdrawn;
    }

    /// @notice What went back to payers so far, in atomic units of the asset.
    function refunded() external view returns (uint256) {
        return _refunded;
    }

    /// @notice What is held and not earned: payments that wait for their mint or their refund, and gifts.
    function refundable() public view returns (uint256) {
        uint256 held = SafeTransferLib.balanceOf(asset(), address(this));
        uint256 owed = earned() - _withdrawn;
        return held > owed ? held - owed : 0;
    }

    /// @notice Token base units (10^-18) in one unit.
    function unit() external view returns (uint128) {
        return uint128(bytes16(_argument(UNIT_AT)));
    }

    /// @notice How many units there can ever be.
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

    /// @notice Who earns; the only address that `withdraw` pays.
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
        _mint(to, quantity * state.unit); // no hook of the recipient is called; the supply stays below 2^128
        return MINTED;
    }

    function _mintState() private view returns (MintState memory state) {
        bytes memory arguments = LibClone.argsOnClone(address(this), 0, NAME_LENGTH_AT);
        state.unit = uint128(bytes16(LibClone.argLoad(arguments, UNIT_AT)));
        state.maxUnits = uint64(bytes8(LibClone.argLoad(arguments, MAX_UNITS_AT)));
        state.unitsMinted = _unitsMinted;
        // Whole units that were paid for: units * price <= paid is units <= paid / price.
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

    /// @dev Tokens sent to nobody or to the token would be lost: refused, for transfers as for mints.
    function _beforeTokenTransfer(address, address to, uint256) internal view override {
        if (to == address(0) || to == address(this)) revert BadRecipient(to);
    }

    /// @dev Nobody gets an allowance that the holder did not give.
    function _givePermit2InfiniteAllowance() internal pure override returns (bool) {
        return false;
    }
}
