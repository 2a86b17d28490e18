// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Roles} from "../src/Roles.sol";
import {TokenFactory} from "../src/TokenFactory.sol";
import {DeploySuite} from "./support/DeploySuite.sol";
import {Vm} from "./support/Vm.sol";

/// Appointments wait 48 hours, removals do not, and the guardian cannot defend its own seat.
contract RolesTest is DeploySuite {
    uint256 private constant DUE = NOW + 48 hours;

    string private constant OPERATOR_SET = "OperatorSet(address,uint256)";
    string private constant GUARDIAN_SET = "GuardianSet(address,uint256)";
    string private constant TREASURY_SET = "TreasurySet(address,uint256)";
    string private constant OFFERED = "OwnershipOffered(address,address,uint256)";
    string private constant TRANSFERRED = "OwnershipTransferred(address,address)";

    // The first holders

    function test_the_first_holders_are_in_effect_immediately_and_logged() public {
        vm.recordLogs();
        factory = new TokenFactory(address(usdc), address(hub), seats());
        Vm.Log[] memory logs = vm.getRecordedLogs();
        same(factory.owner(), OWNER, "owner");
        same(factory.guardian(), GUARDIAN, "guardian");
        same(factory.treasury(), TREASURY, "treasury");
        require(factory.isOperator(OPERATOR), "operator");
        same(factory.operatorSince(OPERATOR), NOW, "operator since");
        require(!factory.settleStopped(), "payments are taken");
        nothingPending();
        logged(logs, TRANSFERRED, address(0), OWNER, "");
        logged(logs, GUARDIAN_SET, GUARDIAN, abi.encode(NOW));
        logged(logs, TREASURY_SET, TREASURY, abi.encode(NOW));
        logged(logs, OPERATOR_SET, OPERATOR, abi.encode(NOW));
    }

    function test_a_factory_needs_an_owner_and_a_treasury_only() public {
        Roles.Seats memory s = seats();
        (s.guardian, s.operator) = (address(0), address(0));
        vm.recordLogs();
        factory = new TokenFactory(address(usdc), address(hub), s);
        same(countLogs(vm.getRecordedLogs(), address(factory), OPERATOR_SET), 0, "no operator is reported");
        same(factory.guardian(), address(0), "no guardian");
        require(!factory.isOperator(address(0)), "the zero address is no operator");
        s.owner = address(0);
        vm.expectRevert(Roles.ZeroAddress.selector);
        new TokenFactory(address(usdc), address(hub), s);
        s = seats();
        s.treasury = address(0);
        vm.expectRevert(Roles.ZeroAddress.selector);
        new TokenFactory(address(usdc), address(hub), s);
    }

    // Who may call what

    /// Rows: the call. Columns: owner, guardian, operator, treasury, creator, stranger.
    function test_each_call_of_a_role_is_open_to_its_holders_only() public {
        may(abi.encodeCall(factory.appointOperator, (BOB)), "y n n n n n");
        may(abi.encodeCall(factory.setGuardian, (BOB)), "y n n n n n");
        may(abi.encodeCall(factory.setTreasury, (BOB)), "y n n n n n");
        may(abi.encodeCall(factory.offerOwnership, (BOB)), "y n n n n n");
        may(abi.encodeCall(factory.removeOperator, (OPERATOR)), "y y n n n n");
        may(abi.encodeCall(factory.stopSettle, ()), "y y n n n n");
        may(abi.encodeCall(factory.resumeSettle, ()), "y n n n n n");
        as_(OWNER, abi.encodeCall(factory.setTreasury, (BOB)));
        may(abi.encodeCall(factory.cancelTreasury, ()), "y y n n n n");
        as_(OWNER, abi.encodeCall(factory.offerOwnership, (BOB)));
        may(abi.encodeCall(factory.cancelOwnership, ()), "y y n n n n");
        vm.warp(DUE);
        may(abi.encodeCall(factory.acceptOwnership, ()), "n n n n n n");
    }

    function test_a_refusal_says_who_may_and_who_called() public {
        fails(
            STRANGER,
            abi.encodeCall(factory.appointOperator, (BOB)),
            abi.encodeWithSelector(Roles.NotOwner.selector, STRANGER)
        );
        fails(
            GUARDIAN,
            abi.encodeCall(factory.resumeSettle, ()),
            abi.encodeWithSelector(Roles.NotOwner.selector, GUARDIAN)
        );
        fails(
            OPERATOR,
            abi.encodeCall(factory.stopSettle, ()),
            abi.encodeWithSelector(Roles.NotOwnerOrGuardian.selector, OPERATOR)
        );
        fails(
            OWNER,
            abi.encodeCall(factory.acceptOwnership, ()),
            abi.encodeWithSelector(Roles.NotPendingOwner.selector, OWNER)
        );
        fails(OWNER, abi.encodeCall(factory.cancelTreasury, ()), abi.encodeWithSelector(Roles.NothingPending.selector));
        fails(OWNER, abi.encodeCall(factory.cancelOwnership, ()), abi.encodeWithSelector(Roles.NothingPending.selector));
        bytes memory zero = abi.encodeWithSelector(Roles.ZeroAddress.selector);
        fails(OWNER, abi.encodeCall(factory.appointOperator, (address(0))), zero);
        fails(OWNER, abi.encodeCall(factory.setTreasury, (address(0))), zero);
        fails(OWNER, abi.encodeCall(factory.offerOwnership, (address(0))), zero);
    }

    // Operators

    function test_an_operator_is_one_from_48_hours_after_the_appointment_to_the_second() public {
        vm.recordLogs();
        as_(OWNER, abi.encodeCall(factory.appointOperator, (BOB)));
        logged(vm.getRecordedLogs(), OPERATOR_SET, BOB, abi.encode(DUE));
        same(factory.operatorSince(BOB), DUE, "from when on");
        vm.warp(DUE - 1);
        require(!factory.isOperator(BOB), "not yet");
        vm.warp(DUE);
        require(factory.isOperator(BOB), "now");
        require(factory.isOperator(OPERATOR), "the first one stays");
    }

    function test_a_second_appointment_neither_delays_nor_hastens_the_first() public {
        as_(OWNER, abi.encodeCall(factory.appointOperator, (BOB)));
        vm.warp(DUE - 10);
        as_(OWNER, abi.encodeCall(factory.appointOperator, (BOB)));
        as_(OWNER, abi.encodeCall(factory.appointOperator, (OPERATOR)));
        same(factory.operatorSince(BOB), DUE, "unchanged");
        require(factory.isOperator(OPERATOR), "an operator stays one");
    }

    function test_a_removal_of_an_operator_is_immediate_by_owner_and_guardian() public {
        address[2] memory by = [OWNER, GUARDIAN];
        for (uint256 i = 0; i < 2; ++i) {
            uint256 state = vm.snapshotState();
            as_(OWNER, abi.encodeCall(factory.appointOperator, (BOB)));
            vm.recordLogs();
            as_(by[i], abi.encodeCall(factory.removeOperator, (OPERATOR)));
            as_(by[i], abi.encodeCall(factory.removeOperator, (BOB)));
            Vm.Log[] memory logs = vm.getRecordedLogs();
            same(countLogs(logs, address(factory), OPERATOR_SET), 2, "two events");
            logged(logs, OPERATOR_SET, OPERATOR, abi.encode(uint256(0)));
            require(!factory.isOperator(OPERATOR), "removed in the same block");
            vm.warp(DUE);
            require(!factory.isOperator(BOB), "an appointment that was pending is gone, too");
            as_(OWNER, abi.encodeCall(factory.appointOperator, (BOB)));
            require(!factory.isOperator(BOB), "a new one waits again");
            same(factory.operatorSince(BOB), DUE + 48 hours, "48 hours");
            vm.revertToState(state);
        }
    }

    // The guardian

    function test_a_guardian_cannot_appoint() public {
        vm.startPrank(GUARDIAN);
        bytes[5] memory calls = [
            abi.encodeCall(factory.appointOperator, (GUARDIAN)),
            abi.encodeCall(factory.setGuardian, (BOB)),
            abi.encodeCall(factory.setTreasury, (GUARDIAN)),
            abi.encodeCall(factory.offerOwnership, (GUARDIAN)),
            abi.encodeCall(factory.acceptOwnership, ())
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool done,) = address(factory).call(calls[i]);
            require(!done, text(i));
        }
        vm.stopPrank();
        vm.warp(DUE);
        require(!factory.isOperator(GUARDIAN), "no operator");
        same(factory.owner(), OWNER, "owner");
        same(factory.treasury(), TREASURY, "treasury");
        same(factory.guardian(), GUARDIAN, "guardian");
    }

    // Replaced or removed (the zero address): after 48 hours, whatever the guardian tries.
    function test_a_guardian_cannot_stop_its_own_removal() public {
        address[2] memory next = [BOB, address(0)];
        for (uint256 i = 0; i < 2; ++i) {
            uint256 state = vm.snapshotState();
            vm.recordLogs();
            as_(OWNER, abi.encodeCall(factory.setGuardian, (next[i])));
            logged(vm.getRecordedLogs(), GUARDIAN_SET, next[i], abi.encode(DUE));
            (address pending, uint256 since) = factory.pendingGuardian();
            same(pending, next[i], "pending");
            same(since, DUE, "since");
            tries(GUARDIAN, address(factory), abi.encodeCall(factory.cancelTreasury, ()));
            tries(GUARDIAN, address(factory), abi.encodeCall(factory.cancelOwnership, ()));
            tries(GUARDIAN, address(factory), abi.encodeCall(factory.setGuardian, (GUARDIAN)));
            tries(GUARDIAN, address(factory), abi.encodeCall(factory.removeOperator, (OWNER)));
            vm.warp(DUE - 1);
            same(factory.guardian(), GUARDIAN, "until then");
            as_(GUARDIAN, abi.encodeCall(factory.stopSettle, ()));
            vm.warp(DUE);
            same(factory.guardian(), next[i], "then");
            require(!tries(GUARDIAN, address(factory), abi.encodeCall(factory.stopSettle, ())), "no right is left");
            nothingPending();
            vm.revertToState(state);
        }
    }

    function test_an_owner_takes_a_new_guardian_back_by_another_call() public {
        as_(OWNER, abi.encodeCall(factory.setGuardian, (BOB)));
        as_(OWNER, abi.encodeCall(factory.setGuardian, (GUARDIAN)));
        vm.warp(DUE);
        same(factory.guardian(), GUARDIAN, "as before");
    }

    // The treasury

    function test_a_new_treasury_is_in_effect_after_48_hours_to_the_second() public {
        vm.recordLogs();
        as_(OWNER, abi.encodeCall(factory.setTreasury, (BOB)));
        logged(vm.getRecordedLogs(), TREASURY_SET, BOB, abi.encode(DUE));
        (address next, uint256 since) = factory.pendingTreasury();
        same(next, BOB, "pending");
        same(since, DUE, "since");
        vm.warp(DUE - 1);
        same(factory.treasury(), TREASURY, "until then");
        vm.warp(DUE);
        same(factory.treasury(), BOB, "then");
        nothingPending();
    }

    function test_a_new_treasury_is_cancelled_until_it_is_in_effect() public {
        address[2] memory by = [OWNER, GUARDIAN];
        for (uint256 i = 0; i < 2; ++i) {
            uint256 state = vm.snapshotState();
            as_(OWNER, abi.encodeCall(factory.setTreasury, (BOB)));
            vm.warp(DUE - 1);
            uint256 late = vm.snapshotState();
            vm.recordLogs();
            as_(by[i], abi.encodeCall(factory.cancelTreasury, ()));
            logged(vm.getRecordedLogs(), "TreasuryCancelled(address)", BOB, "");
            vm.warp(DUE);
            same(factory.treasury(), TREASURY, "cancelled in the last second");
            nothing_(by[i], abi.encodeCall(factory.cancelTreasury, ()));
            vm.revertToState(late);
            vm.warp(DUE);
            nothing_(by[i], abi.encodeCall(factory.cancelTreasury, ()));
            same(factory.treasury(), BOB, "what is in effect stays");
            vm.revertToState(state);
        }
    }

    function test_a_seat_that_is_replaced_again_keeps_what_took_effect_meanwhile() public {
        as_(OWNER, abi.encodeCall(factory.setTreasury, (BOB)));
        as_(OWNER, abi.encodeCall(factory.setGuardian, (BOB)));
        vm.warp(DUE + 1 days); // without a call meanwhile
        as_(OWNER, abi.encodeCall(factory.setTreasury, (ALICE)));
        as_(OWNER, abi.encodeCall(factory.setGuardian, (ALICE)));
        same(factory.treasury(), BOB, "the second treasury");
        same(factory.guardian(), BOB, "the second guardian");
        as_(BOB, abi.encodeCall(factory.cancelTreasury, ()));
        vm.warp(DUE + 3 days);
        same(factory.treasury(), BOB, "a cancellation returns to the second, not to the first");
        same(factory.guardian(), ALICE, "the third guardian");
    }

    function test_the_later_of_two_pending_changes_replaces_the_earlier() public {
        as_(OWNER, abi.encodeCall(factory.setTreasury, (BOB)));
        as_(OWNER, abi.encodeCall(factory.setGuardian, (BOB)));
        vm.warp(DUE - 1);
        as_(OWNER, abi.encodeCall(factory.setTreasury, (ALICE)));
        as_(OWNER, abi.encodeCall(factory.setGuardian, (ALICE)));
        vm.warp(DUE + 48 hours - 2);
        same(factory.treasury(), TREASURY, "the first stays all the while");
        same(factory.guardian(), GUARDIAN, "the first stays all the while");
        vm.warp(DUE + 48 hours - 1);
        same(factory.treasury(), ALICE, "the later one");
        same(factory.guardian(), ALICE, "the later one");
    }

    // The owner

    function test_an_ownership_changes_hands_48_hours_after_the_offer_when_it_is_accepted() public {
        vm.recordLogs();
        as_(OWNER, abi.encodeCall(factory.offerOwnership, (BOB)));
        logged(vm.getRecordedLogs(), OFFERED, OWNER, BOB, abi.encode(DUE));
        (address next, uint256 since) = factory.pendingOwner();
        same(next, BOB, "pending");
        same(since, DUE, "since");
        bytes memory accept = abi.encodeCall(factory.acceptOwnership, ());
        vm.warp(DUE - 1);
        fails(BOB, accept, abi.encodeWithSelector(Roles.TooEarly.selector, DUE));
        vm.warp(DUE + 100 days);
        fails(STRANGER, accept, abi.encodeWithSelector(Roles.NotPendingOwner.selector, STRANGER));
        same(factory.owner(), OWNER, "until it is accepted");
        vm.recordLogs();
        as_(BOB, accept);
        logged(vm.getRecordedLogs(), TRANSFERRED, OWNER, BOB, "");
        same(factory.owner(), BOB, "the new owner");
        nothingPending();
        require(!tries(OWNER, address(factory), abi.encodeCall(factory.stopSettle, ())), "the old owner has no right");
        fails(BOB, accept, abi.encodeWithSelector(Roles.NotPendingOwner.selector, BOB));
        as_(BOB, abi.encodeCall(factory.setTreasury, (BOB)));
    }

    function test_an_offer_of_the_ownership_is_cancelled_until_it_is_accepted() public {
        address[2] memory by = [OWNER, GUARDIAN];
        for (uint256 i = 0; i < 2; ++i) {
            uint256 state = vm.snapshotState();
            as_(OWNER, abi.encodeCall(factory.offerOwnership, (BOB)));
            vm.warp(DUE + 1); // due, and not accepted
            vm.recordLogs();
            as_(by[i], abi.encodeCall(factory.cancelOwnership, ()));
            logged(vm.getRecordedLogs(), OFFERED, OWNER, address(0), abi.encode(uint256(0)));
            require(!tries(BOB, address(factory), abi.encodeCall(factory.acceptOwnership, ())), "too late");
            nothing_(by[i], abi.encodeCall(factory.cancelOwnership, ()));
            vm.revertToState(state);
            as_(OWNER, abi.encodeCall(factory.offerOwnership, (BOB)));
            vm.warp(DUE);
            as_(BOB, abi.encodeCall(factory.acceptOwnership, ()));
            nothing_(GUARDIAN, abi.encodeCall(factory.cancelOwnership, ()));
            same(factory.owner(), BOB, "what was accepted stays");
            vm.revertToState(state);
        }
    }

    function test_a_second_offer_replaces_the_first_and_waits_anew() public {
        as_(OWNER, abi.encodeCall(factory.offerOwnership, (BOB)));
        vm.warp(DUE - 1);
        as_(OWNER, abi.encodeCall(factory.offerOwnership, (ALICE)));
        vm.warp(DUE);
        bytes memory accept = abi.encodeCall(factory.acceptOwnership, ());
        fails(BOB, accept, abi.encodeWithSelector(Roles.NotPendingOwner.selector, BOB));
        fails(ALICE, accept, abi.encodeWithSelector(Roles.TooEarly.selector, DUE + 48 hours - 1));
        vm.warp(DUE + 48 hours - 1);
        as_(ALICE, accept);
        same(factory.owner(), ALICE, "the later one");
    }

    // The emergency stop

    function test_guardian_or_owner_stop_payments_and_only_the_owner_resumes() public {
        address[2] memory by = [OWNER, GUARDIAN];
        for (uint256 i = 0; i < 2; ++i) {
            vm.recordLogs();
            as_(by[i], abi.encodeCall(factory.stopSettle, ()));
            logged(vm.getRecordedLogs(), "SettleStopped(address)", by[i], "");
            require(factory.settleStopped(), "stopped");
            require(!tries(GUARDIAN, address(factory), abi.encodeCall(factory.resumeSettle, ())), "not by the guardian");
            vm.recordLogs();
            as_(OWNER, abi.encodeCall(factory.resumeSettle, ()));
            logged(vm.getRecordedLogs(), "SettleResumed(address)", OWNER, "");
            require(!factory.settleStopped(), "resumed");
        }
    }

    // Helpers

    function as_(address caller, bytes memory data) private {
        require(tries(caller, address(factory), data), "the call was refused");
    }

    function fails(address caller, bytes memory data, bytes memory reason) private {
        vm.prank(caller);
        (bool done, bytes memory answer) = address(factory).call(data);
        require(!done, "the call was not refused");
        same(answer, reason, "the reason");
    }

    function nothing_(address caller, bytes memory data) private {
        fails(caller, data, abi.encodeWithSelector(Roles.NothingPending.selector));
    }

    function may(bytes memory data, string memory row) private {
        address[6] memory callers = [OWNER, GUARDIAN, OPERATOR, TREASURY, CREATOR, STRANGER];
        for (uint256 i = 0; i < 6; ++i) {
            uint256 state = vm.snapshotState();
            bool yes = bytes(row)[2 * i] == "y";
            require(tries(callers[i], address(factory), data) == yes, string.concat(hex_(data), " by ", text(i)));
            vm.revertToState(state);
        }
    }

    function nothingPending() private view {
        (address a, uint256 b) = factory.pendingOwner();
        (address c, uint256 d) = factory.pendingGuardian();
        (address e, uint256 f) = factory.pendingTreasury();
        same(abi.encode(a, b, c, d, e, f), new bytes(192), "nothing is pending");
    }

    function logged(Vm.Log[] memory logs, string memory event_, address who, bytes memory data) private view {
        Vm.Log memory log = logOf(logs, address(factory), event_);
        same(toAddress(log.topics[1]), who, event_);
        same(log.data, data, event_);
    }

    function logged(Vm.Log[] memory logs, string memory event_, address a, address b, bytes memory data) private view {
        logged(logs, event_, a, data);
        same(toAddress(logOf(logs, address(factory), event_).topics[2]), b, event_);
    }
}
