// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Crowd} from "./support/Crowd.sol";
import {Vm} from "./support/Vm.sol";

/// @notice Rules that hold after every step of a crowd whose operator is a thief.
contract InvariantsTest {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    Crowd private crowd;

    function setUp() public {
        crowd = new Crowd();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(crowd);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        bytes4[] memory s = new bytes4[](15);
        s[0] = s[1] = Crowd.settles.selector; // twice as often
        s[2] = Crowd.mints.selector;
        s[3] = Crowd.refunds.selector;
        s[4] = s[5] = Crowd.credits.selector;
        s[6] = Crowd.returns_.selector;
        s[7] = Crowd.around.selector;
        s[8] = Crowd.cancels.selector;
        s[9] = Crowd.withdraws.selector;
        s[10] = Crowd.sweeps.selector;
        s[11] = Crowd.roles.selector;
        s[12] = Crowd.regulates.selector;
        s[13] = Crowd.moves.selector;
        s[14] = Crowd.time.selector;
        targets[0] = FuzzSelector(address(crowd), s);
    }

    function invariant_balance_records_supply_and_payers_agree_with_the_books() public view {
        for (uint256 t = 0; t < 2; ++t) {
            crowd.checkBooks(t);
            crowd.checkSupply(t);
            crowd.checkRecords(t);
            crowd.checkPayers(t);
        }
        crowd.checkPurses();
    }

    /// Without this the invariant could be empty: every result of every function has to occur.
    function test_the_crowd_meets_every_result() public {
        uint256[100] memory seen;
        for (uint256 run = 0; run < 72; ++run) {
            uint256 id = vm.snapshotState();
            for (uint256 i = 0; i < 160; ++i) {
                crowd.step(uint256(keccak256(abi.encode("crowd", run, i))));
            }
            invariant_balance_records_supply_and_payers_agree_with_the_books();
            for (uint256 k = 0; k < 100; ++k) {
                seen[k] += crowd.seen(k);
            }
            vm.revertToState(id);
        }
        // A function and a result each, see `Crowd`.
        bytes memory wanted = "00 01 03 04 05 06 07 10 11 12 15 20 21 22 24 25 27 30 31 33 34 35 36 37 "
            "40 41 44 45 46 47 50 51 54 60 61 64 70 74 80 90 ";
        for (uint256 i = 0; i < wanted.length; i += 3) {
            uint256 k = 10 * uint256(uint8(wanted[i]) - 48) + uint8(wanted[i + 1]) - 48;
            require(seen[k] > 0, string.concat("never met: ", string(abi.encodePacked(wanted[i], wanted[i + 1]))));
        }
    }
}
