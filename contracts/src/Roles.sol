// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title Roles: who may do what for all tokens of a factory.
/// @notice Operators return what went around `settle`, and refund. The owner appoints. The guardian takes away and stops.
/// The treasury receives deployment fees. None of them can take or hold back what a payer's record says.
/// @dev Appointments, a new treasury and a new owner take effect after `DELAY`. Removals are immediate, but for that of the
/// guardian, which is delayed and which the guardian cannot stop, so that the owner can answer a stolen guardian key. The
/// guardian answers a stolen owner key by removing and cancelling what it appoints, for two `DELAY`s at most: a thief who
/// replaces the guardian is alone after the first. So a stolen owner key has surplus, fees and the stop in the end, and
/// never a record.
abstract contract Roles {
    /// @notice The first holders, in effect at once.
    /// @param owner Appoints; not zero.
    /// @param guardian Removes operators, cancels what is pending, stops new payments; zero for none.
    /// @param treasury Receives deployment fees; not zero.
    /// @param operator Credits, gives back and refunds; zero for none.
    struct Seats {
        address owner;
        address guardian;
        address treasury;
        address operator;
    }

    /// @dev A holder who is replaced after a delay. `since` 0: nothing is pending.
    struct Seat {
        address holder;
        uint40 since;
        address next;
    }

    /// @notice An account is required, and the zero address was given.
    error ZeroAddress();
    /// @notice The caller is not the owner.
    error NotOwner(address caller);
    /// @notice The caller is neither the owner nor the guardian.
    error NotOwnerOrGuardian(address caller);
    /// @notice The caller is not the account to which the ownership was offered.
    error NotPendingOwner(address caller);
    /// @notice The change takes effect at `since` only.
    error TooEarly(uint256 since);
    /// @notice There is nothing pending that could be cancelled.
    error NothingPending();

    /// @notice `account` is an operator from `since` on; 0: it is none.
    event OperatorSet(address indexed account, uint256 since);
    /// @notice `guardian` takes the place of the one before at `since`.
    event GuardianSet(address indexed guardian, uint256 since);
    /// @notice `treasury` takes the place of the one before at `since`.
    event TreasurySet(address indexed treasury, uint256 since);
    /// @notice The next treasury was cancelled.
    event TreasuryCancelled(address indexed treasury);
    /// @notice `next` may accept the ownership at `since`; the zero address: nobody may.
    event OwnershipOffered(address indexed owner, address indexed next, uint256 since);
    /// @notice The ownership changed hands.
    event OwnershipTransferred(address indexed previousOwner, address indexed newOwner);
    /// @notice New payments are refused by all tokens of this factory.
    event SettleStopped(address indexed by);
    /// @notice New payments are taken again.
    event SettleResumed(address indexed by);

    /// @notice Time from an appointment to its effect.
    uint256 public constant DELAY = 48 hours;

    /// @notice True if `settle` of every token of this factory refuses new payments. Nothing else can be stopped.
    bool public settleStopped;

    Seat private _owner;
    Seat private _guardian;
    Seat private _treasury;
    mapping(address account => uint256) private _operatorSince;

    modifier onlyOwner() {
        if (msg.sender != owner()) revert NotOwner(msg.sender);
        _;
    }

    modifier onlyOwnerOrGuardian() {
        if (msg.sender != owner() && msg.sender != guardian()) revert NotOwnerOrGuardian(msg.sender);
        _;
    }

    constructor(Seats memory seats) {
        if (seats.owner == address(0) || seats.treasury == address(0)) revert ZeroAddress();
        _owner.holder = seats.owner;
        _guardian.holder = seats.guardian;
        _treasury.holder = seats.treasury;
        emit OwnershipTransferred(address(0), seats.owner);
        emit GuardianSet(seats.guardian, block.timestamp);
        emit TreasurySet(seats.treasury, block.timestamp);
        if (seats.operator == address(0)) return;
        _operatorSince[seats.operator] = block.timestamp;
        emit OperatorSet(seats.operator, block.timestamp);
    }

    /// @notice The account that appoints.
    function owner() public view returns (address) {
        return _owner.holder;
    }

    /// @notice The account that takes away and stops; zero if there is none.
    function guardian() public view returns (address) {
        return _holder(_guardian);
    }

    /// @notice The account that receives deployment fees.
    function treasury() public view returns (address) {
        return _holder(_treasury);
    }

    /// @notice True if `account` may credit, give back and refund.
    function isOperator(address account) external view returns (bool) {
        uint256 since = _operatorSince[account];
        return since != 0 && block.timestamp >= since;
    }

    /// @notice The time from which on `account` is an operator; 0 if it is none.
    function operatorSince(address account) external view returns (uint256) {
        return _operatorSince[account];
    }

    /// @notice The account that may accept the ownership, and from when on; all zero if there is none.
    function pendingOwner() external view returns (address next, uint256 since) {
        return (_owner.next, _owner.since);
    }

    /// @notice The guardian who will be, and from when on; all zero if none is pending.
    function pendingGuardian() external view returns (address next, uint256 since) {
        return _pending(_guardian);
    }

    /// @notice The treasury that will be, and from when on; all zero if none is pending.
    function pendingTreasury() external view returns (address next, uint256 since) {
        return _pending(_treasury);
    }

    /// @notice Appoints an operator, after `DELAY`. Appointing one again changes nothing.
    function appointOperator(address account) external onlyOwner {
        if (account == address(0)) revert ZeroAddress();
        if (_operatorSince[account] == 0) _operatorSince[account] = block.timestamp + DELAY;
        emit OperatorSet(account, _operatorSince[account]);
    }

    /// @notice Removes an operator, or an appointment, at once.
    function removeOperator(address account) external onlyOwnerOrGuardian {
        _operatorSince[account] = 0;
        emit OperatorSet(account, 0);
    }

    /// @notice Replaces the guardian, or removes it (the zero address), after `DELAY`. Only the owner can take that back,
    /// by another call.
    function setGuardian(address next) external onlyOwner {
        emit GuardianSet(next, _replace(_guardian, next));
    }

    /// @notice Replaces the treasury, after `DELAY`. No payer's money depends on it.
    function setTreasury(address next) external onlyOwner {
        if (next == address(0)) revert ZeroAddress();
        emit TreasurySet(next, _replace(_treasury, next));
    }

    /// @notice Takes back the next treasury, as long as it is not in effect.
    function cancelTreasury() external onlyOwnerOrGuardian {
        (address next, uint256 since) = _pending(_treasury);
        if (since == 0) revert NothingPending();
        _treasury.since = 0;
        emit TreasuryCancelled(next);
    }

    /// @notice Offers the ownership to `next`, who can accept it after `DELAY`.
    function offerOwnership(address next) external onlyOwner {
        if (next == address(0)) revert ZeroAddress();
        _offer(next, block.timestamp + DELAY);
    }

    /// @notice Takes back the offer of the ownership.
    function cancelOwnership() external onlyOwnerOrGuardian {
        if (_owner.since == 0) revert NothingPending();
        _offer(address(0), 0);
    }

    /// @notice Accepts the ownership that was offered to the caller.
    function acceptOwnership() external {
        if (msg.sender != _owner.next || _owner.since == 0) revert NotPendingOwner(msg.sender);
        if (block.timestamp < _owner.since) revert TooEarly(_owner.since);
        emit OwnershipTransferred(_owner.holder, msg.sender);
        _owner = Seat(msg.sender, 0, address(0));
    }

    /// @notice Stops new payments of all tokens: the answer to an asset or a token that misbehaves. Mints, refunds,
    /// give-backs, withdrawals and deployments go on.
    function stopSettle() external onlyOwnerOrGuardian {
        settleStopped = true;
        emit SettleStopped(msg.sender);
    }

    /// @notice Lets new payments in again.
    function resumeSettle() external onlyOwner {
        settleStopped = false;
        emit SettleResumed(msg.sender);
    }

    function _offer(address next, uint256 since) private {
        _owner.next = next;
        _owner.since = uint40(since);
        emit OwnershipOffered(_owner.holder, next, since);
    }

    function _replace(Seat storage seat, address next) private returns (uint256 since) {
        since = block.timestamp + DELAY;
        address holder = _holder(seat); // a change that took effect meanwhile
        seat.holder = holder;
        seat.since = uint40(since);
        seat.next = next;
    }

    function _holder(Seat storage seat) private view returns (address) {
        return _inEffect(seat) ? seat.next : seat.holder;
    }

    function _pending(Seat storage seat) private view returns (address, uint256) {
        return seat.since == 0 || _inEffect(seat) ? (address(0), 0) : (seat.next, seat.since);
    }

    function _inEffect(Seat storage seat) private view returns (bool) {
        return seat.since != 0 && block.timestamp >= seat.since;
    }
}
