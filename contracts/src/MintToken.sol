// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "solady/src/tokens/ERC20.sol";
import {IAsset} from "./IAsset.sol";
import {Records} from "./Records.sol";
import {Settling} from "./Settling.sol";

/// @title MintToken: an ERC-20 that takes its own payments and delivers its own units.
/// @notice Buyers sign a payment of the asset to this contract. `settle` submits the payment and records it in the same
/// call frame, so a record exists if and only if the token was paid. A record ends once: as units for its payer
/// (`batchMint`, anybody, any time), or as the exact money back to its payer (`refund`, the payer after 7 days).
/// @dev A clone with immutable arguments, created by `TokenFactory`. Its terms cannot change. Only the asset and the
/// factory are called, under a lock that covers every function that changes something.
///
/// Promises, kept by this code whatever its callers and the holders of all roles do:
/// - paid and recorded are one thing: a payment that fails leaves no record, and running out of gas undoes both;
/// - units and money go to the recorded payer only, and only one of the two;
/// - units of open records and minted units together never exceed `maxUnits`;
/// - one bad item of a batch is reported and stops no other;
/// - nobody but its payer can turn a record into anything but units, except an operator, into the payer's money.
///
/// Books: asset balance = (unitsMinted + open) * price - withdrawn + feeOwed + surplus. Surplus is what reached the token
/// around `settle`. Only surplus depends on the operator's honesty (`credit`, `giveBack`).
contract MintToken is ERC20, Settling {
    /// @notice The caller is no operator of the factory.
    error NotOperator(address caller);
    /// @notice The caller is not the creator.
    error NotCreator(address caller);
    /// @notice The caller is not the factory.
    error NotFactory(address caller);
    /// @notice The zero address or this token.
    error BadRecipient(address recipient);
    /// @notice The deployment fee is not here.
    error FeeMissing(uint256 fee, uint256 held);

    /// @notice The result of every key of a `batchMint`, in the given order.
    event MintBatch(bytes32[] keys, bytes results);
    /// @notice A record ended: its payer has the price of its units back.
    event Refunded(bytes32 indexed key, address indexed payer, uint256 amount);
    /// @notice The asset refused to pay a refund; the record stands.
    event RefundRefused(bytes32 indexed key, address indexed payer, uint256 amount);
    /// @notice A payment that reached the token around `settle` was recorded; `change` went back to its payer.
    event Credited(bytes32 indexed key, address indexed payer, uint256 units, uint256 change);
    /// @notice A payment that reached the token around `settle` went back to its payer.
    event GivenBack(bytes32 indexed key, address indexed payer, uint256 amount);
    /// @notice Proceeds of minted units were paid out.
    event Withdrawn(address indexed creator, address indexed to, uint256 amount);
    /// @notice The treasury could not be paid; the fee waits for `sweepFee`.
    event FeeOwed(uint256 amount);
    /// @notice The fee that was owed is paid.
    event FeeSwept(address indexed treasury, uint256 amount);

    /// @notice A payment around `settle`, and the units to record for it.
    /// @param payer The signer of the payment.
    /// @param nonce The nonce of its authorization.
    /// @param units The units to record, not zero.
    /// @param change The part of the payment that buys no whole unit. It goes back to the payer at once.
    struct Credit {
        address payer;
        bytes32 nonce;
        uint32 units;
        uint128 change;
    }

    /// @notice A payment around `settle` that buys nothing.
    /// @param payer The signer of the payment.
    /// @param nonce The nonce of its authorization.
    /// @param amount The sum to return, in atomic units of the asset, not zero.
    struct GiveBack {
        address payer;
        bytes32 nonce;
        uint128 amount;
    }

    /// @notice Time after a payment from which on its payer may take it back.
    uint256 public constant REFUND_AFTER = 7 days;

    constructor(address asset_) Records(asset_) {}

    modifier onlyOperator() {
        if (!factory.isOperator(msg.sender)) revert NotOperator(msg.sender);
        _;
    }

    // Delivering

    /// @notice Mints the recorded units to the recorded payers. Anyone may call it, at any time.
    /// @dev Never reverts because of a key. One byte per key: 0 minted; 1 minted before; 2 the money went back; 5 no such
    /// record.
    /// @param keys The payments, see `keyOf`.
    /// @return results One byte per key.
    function batchMint(bytes32[] calldata keys) external guarded returns (bytes memory results) {
        uint256 unit_ = unit();
        uint256 sum;
        results = new bytes(keys.length);
        for (uint256 i = 0; i < keys.length; ++i) {
            bytes32 key = keys[i];
            uint256 record = _records[key];
            uint256 state = uint8(record);
            if (state != PAID) {
                results[i] = _ended(state);
                continue;
            }
            unchecked {
                uint256 units = uint32(record >> UNITS_SHIFT);
                sum += units; // <= open
                _records[key] = record + (MINTED - PAID);
                _mint(address(uint160(record >> PAYER_SHIFT)), units * unit_); // no hook; unit * maxUnits < 2^128
            }
        }
        if (sum != 0) {
            _unitsMinted += uint64(sum);
            _unitsOpen -= uint64(sum);
        }
        emit MintBatch(keys, results);
    }

    /// @notice Returns the exact price of recorded units to the recorded payers: the payer's own records from
    /// `REFUND_AFTER` after the payment on, an operator any time.
    /// @dev Never reverts because of a key. One byte per key: 0 refunded; 1 minted before; 2 the money went back before;
    /// 4 the asset refused, the record stands; 5 no such record; 7 not the caller's, or not yet.
    /// @param keys The payments, see `keyOf`.
    /// @return results One byte per key.
    function refund(bytes32[] calldata keys) external guarded returns (bytes memory results) {
        bool operator = factory.isOperator(msg.sender);
        uint256 price_ = price();
        results = new bytes(keys.length);
        for (uint256 i = 0; i < keys.length; ++i) {
            results[i] = _refundOne(keys[i], price_, operator);
        }
    }

    // What went around `settle`

    /// @notice Records payments that reached the token around `settle`, out of surplus only.
    /// @dev Only by an operator. A spent nonce is no proof of a payment (a cancelled one is spent, too), so a mistaken
    /// credit takes the surplus of others: look for the pair of logs at a final block. The deployment fee leaves one, too.
    /// One byte per item: 0 recorded; 1 the key is known; 3 sold out; 4 the asset refused the change, nothing was
    /// recorded; 5 the nonce is not spent; 6 no units or no payer; 7 beyond the surplus.
    /// @return results One byte per item.
    function credit(Credit[] calldata credits) external guarded onlyOperator returns (bytes memory results) {
        uint256 price_ = price();
        uint256 cap = maxUnits();
        results = new bytes(credits.length);
        for (uint256 i = 0; i < credits.length; ++i) {
            results[i] = bytes1(uint8(_creditOne(credits[i], price_, cap)));
        }
    }

    /// @notice Returns payments that reached the token around `settle` and buy nothing, out of surplus only.
    /// @dev Only by an operator; the same warning as at `credit`. One byte per item: 0 returned; 1 the key is known;
    /// 4 the asset refused, nothing was recorded; 5 the nonce is not spent; 6 no amount or no payer; 7 beyond the surplus.
    /// @return results One byte per item.
    function giveBack(GiveBack[] calldata returns_) external guarded onlyOperator returns (bytes memory results) {
        results = new bytes(returns_.length);
        for (uint256 i = 0; i < returns_.length; ++i) {
            results[i] = bytes1(uint8(_giveBackOne(returns_[i])));
        }
    }

    // Earning

    /// @notice Pays the creator the proceeds of minted units. Anyone may call it. Without a sum due it does nothing.
    function withdraw() external {
        _withdraw(creator());
    }

    /// @notice Pays the proceeds somewhere else. Only the creator may call it.
    function withdrawTo(address to) external {
        if (msg.sender != creator()) revert NotCreator(msg.sender);
        if (to == address(0) || to == address(this)) revert BadRecipient(to);
        _withdraw(to);
    }

    /// @notice Hands the deployment fee on. Only the factory calls it, once, in the frame that creates the token.
    /// @dev If the treasury cannot be paid, the fee stays here and is owed. If it is not here, nothing was paid, and the
    /// revert undoes the creation.
    function takeFee(address treasury, uint256 fee) external guarded {
        if (msg.sender != address(factory)) revert NotFactory(msg.sender);
        if (_tryTransfer(treasury, fee)) return;
        uint256 held = _held();
        if (held < fee) revert FeeMissing(fee, held);
        _feeOwed = fee;
        emit FeeOwed(fee);
    }

    /// @notice Pays a fee that could not be handed on, to the treasury of today. Anyone may call it.
    function sweepFee() external guarded {
        uint256 fee = _feeOwed;
        if (fee == 0) return;
        _feeOwed = 0;
        address treasury = factory.treasury();
        emit FeeSwept(treasury, fee);
        if (!_tryTransfer(treasury, fee)) revert TransferFailed(treasury, fee);
    }

    // Inside the others

    function _refundOne(bytes32 key, uint256 price_, bool operator) private returns (bytes1) {
        uint256 record = _records[key];
        uint256 state = uint8(record);
        if (state != PAID) return _ended(state);
        address payer = address(uint160(record >> PAYER_SHIFT));
        bool due = block.timestamp >= uint40(record >> PAID_AT_SHIFT) + REFUND_AFTER;
        if (!operator && (msg.sender != payer || !due)) return 0x07;

        uint256 units = uint32(record >> UNITS_SHIFT);
        uint256 amount = units * price_;
        _records[key] = record + (REFUNDED - PAID);
        if (!_tryTransfer(payer, amount)) {
            _records[key] = record;
            emit RefundRefused(key, payer, amount);
            return bytes1(uint8(FAILED));
        }
        _unitsOpen -= uint64(units); // under the lock, so the order does not matter
        emit Refunded(key, payer, amount);
        return 0x00;
    }

    function _creditOne(Credit calldata c, uint256 price_, uint256 cap) private returns (uint256 code) {
        if (c.units == 0) return IMPOSSIBLE;
        bytes32 key;
        (code, key) = _claim(c.payer, c.nonce, c.units * price_ + c.change);
        if (code != DONE) return code;
        if (uint256(_unitsMinted) + _unitsOpen + c.units > cap) return SOLD_OUT;
        if (c.change != 0 && !_tryTransfer(c.payer, c.change)) return FAILED;
        _records[key] = _record(c.payer, c.units, PAID);
        _unitsOpen += c.units;
        emit Credited(key, c.payer, c.units, c.change);
    }

    function _giveBackOne(GiveBack calldata g) private returns (uint256 code) {
        if (g.amount == 0) return IMPOSSIBLE;
        bytes32 key;
        (code, key) = _claim(g.payer, g.nonce, g.amount);
        if (code != DONE) return code;
        if (!_tryTransfer(g.payer, g.amount)) return FAILED;
        _records[key] = _record(g.payer, 0, GIVEN_BACK);
        emit GivenBack(key, g.payer, g.amount);
    }

    /// @dev The checks that `credit` and `giveBack` share: once per key, never ahead of a `settle`, only out of surplus.
    function _claim(address payer, bytes32 nonce, uint256 amount) private view returns (uint256 code, bytes32 key) {
        if (payer == address(0) || payer == address(this)) return (IMPOSSIBLE, key);
        key = keyOf(payer, nonce);
        if (_records[key] != 0) return (KEY_KNOWN, key);
        if (!IAsset(asset).authorizationState(payer, nonce)) return (5, key);
        if (amount > surplus()) return (7, key);
    }

    function _withdraw(address to) private guarded {
        uint256 total = uint256(_unitsMinted) * price();
        uint256 due = total - _withdrawn;
        if (due == 0) return;
        _withdrawn = uint128(total); // uint64 * uint64
        emit Withdrawn(creator(), to, due);
        if (!_tryTransfer(to, due)) revert TransferFailed(to, due);
    }

    /// @dev The result for a record in which no units are due.
    function _ended(uint256 state) private pure returns (bytes1) {
        if (state == MINTED) return 0x01;
        return state == NONE ? bytes1(0x05) : bytes1(0x02);
    }

    /// @notice The ERC-20 name.
    function name() public view override returns (string memory) {
        return _name();
    }

    /// @notice The ERC-20 symbol.
    function symbol() public view override returns (string memory) {
        return _symbol();
    }

    /// @dev Refuses transfers to the zero address or to this token, where units would be lost.
    function _beforeTokenTransfer(address, address to, uint256) internal view override {
        if (to == address(0) || to == address(this)) revert BadRecipient(to);
    }

    /// @dev Disables the infinite allowance for Permit2: only a holder gives allowances.
    function _givePermit2InfiniteAllowance() internal pure override returns (bool) {
        return false;
    }
}
