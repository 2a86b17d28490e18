// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Hub} from "../../src/Hub.sol";
import {MintToken} from "../../src/MintToken.sol";
import {TokenFactory} from "../../src/TokenFactory.sol";
import {DeploySuite} from "./DeploySuite.sol";

/// @notice The actors of the table of powers, and how a row of it is tried.
abstract contract PowersSuite is DeploySuite {
    address internal immutable SENDER = account("sender"); // submitted all batches
    address internal immutable NOBODY = account("nobody"); // an account that has done nothing so far
    address internal immutable LOOT = account("loot"); // an address of the actor, with a cancelled authorization

    Auth internal alice; // 3 units, open; alice is the payer of the table
    Auth internal bob; // 2 units, minted; the creator has not withdrawn
    Auth internal carol; // 2 units, open
    Auth internal loot; // cancelled
    bytes internal aliceItem;
    MintToken internal owing; // its fee waits for the treasury

    /// @dev The token holds the money of these units, and that of 4 more that went around `settle`.
    function setUp() public virtual override {
        super.setUp();
        alice = auth("alice", address(token), 3 * PRICE);
        bob = auth("bob", address(token), 2 * PRICE);
        carol = auth("carol", address(token), 2 * PRICE);
        loot = auth("loot", address(token), PRICE);
        aliceItem = item(alice);
        bytes memory items = bytes.concat(aliceItem, item(bob), item(carol));
        require(tries(SENDER, address(token), abi.encodeCall(token.settle, ("all", ITEM_GAS, items, ""))), "settled");
        require(tries(SENDER, address(token), abi.encodeCall(token.batchMint, (list(keyOf(bob))))), "minted");
        submitAround(auth("dave", address(token), 4 * PRICE));
        cancel(loot);
        vm.prank(LOOT);
        usdc.transfer(STRANGER, START); // it starts with nothing
        usdc.blacklist(TREASURY);
        deploy(order(config(), feeOf("erin", config())));
        usdc.unBlacklist(TREASURY);
        owing = token_(config());
        same(token.open() + token.unitsMinted(), 7, "control: units");
        same(token.surplus(), 4 * PRICE, "control: surplus");
        same(owing.feeOwed(), FEE, "control: a fee is owed");
    }

    /// @notice Lets every actor try. With `y` the actor gains all of `full`, with `n` nothing.
    /// @param answers One for each actor, in the order of `nameOf`. `contracts/powers` writes them into POWERS.md.
    /// @param attempt All calls of one account that could do the deed.
    /// @param gain The gain of the actor.
    function row(
        string memory answers,
        uint256 full,
        function(address) internal attempt,
        function() internal returns (uint256) gain
    ) internal {
        row(answers, full, 0, attempt, gain);
    }

    /// @param wait Time after which all accounts of the actor try again; 0 for a single try.
    function row(
        string memory answers,
        uint256 full,
        uint256 wait,
        function(address) internal attempt,
        function() internal returns (uint256) gain
    ) internal {
        bytes memory columns = bytes(answers);
        uint256 place;
        for (uint256 actor = 0; actor < 11; ++actor) {
            while (columns[place] == " ") ++place;
            uint256 state = vm.snapshotState();
            address[] memory accounts = accountsOf(actor);
            for (uint256 i = 0; i < accounts.length; ++i) {
                attempt(accounts[i]);
            }
            if (wait != 0) vm.warp(block.timestamp + wait);
            for (uint256 i = 0; wait != 0 && i < accounts.length; ++i) {
                attempt(accounts[i]);
            }
            balanced();
            same(gain(), columns[place] == "y" ? full : 0, nameOf(actor));
            vm.revertToState(state);
            ++place;
        }
        same(place, columns.length, "one answer for each actor");
    }

    function accountsOf(uint256 actor) private view returns (address[] memory) {
        if (actor == 0) return group(OPERATOR);
        if (actor == 1) return group(GUARDIAN);
        if (actor == 2) return group(OWNER);
        if (actor == 3) return group(CREATOR);
        if (actor == 4) return group(SENDER);
        if (actor == 5) return group(ALICE);
        if (actor == 6) return group(NOBODY);
        if (actor == 7) return group(OPERATOR, OWNER);
        if (actor == 8) return group(OPERATOR, CREATOR);
        if (actor == 9) return group(GUARDIAN, OWNER);
        address[] memory all = new address[](5);
        (all[0], all[1], all[2], all[3], all[4]) = (OPERATOR, GUARDIAN, OWNER, CREATOR, TREASURY);
        return all;
    }

    function group(address a) private pure returns (address[] memory g) {
        g = new address[](1);
        g[0] = a;
    }

    function group(address a, address b) private pure returns (address[] memory g) {
        g = new address[](2);
        (g[0], g[1]) = (a, b);
    }

    function nameOf(uint256 actor) private pure returns (string memory) {
        string[11] memory names = [
            "operator",
            "guardian",
            "owner",
            "creator",
            "sender",
            "payer",
            "anybody",
            "operator, owner",
            "operator, creator",
            "guardian, owner",
            "all roles"
        ];
        return names[actor];
    }

    // Calls

    /// @notice Calls the token, directly and through the hub; whether it goes well is for `gain` to say.
    function act(address by, bytes memory data) internal {
        act(by, address(token), data);
    }

    function act(address by, address target, bytes memory data) internal {
        tries(by, target, data);
        Hub.Segment[] memory segments = new Hub.Segment[](1);
        segments[0] = Hub.Segment(target, 1_000_000, data);
        require(tries(by, address(hub), abi.encodeCall(hub.run, ("x", segments))), "the hub is open to anybody");
    }

    function credits(address payer, bytes32 nonce, uint32 units, uint128 change) internal view returns (bytes memory) {
        MintToken.Credit[] memory one = new MintToken.Credit[](1);
        one[0] = MintToken.Credit(payer, nonce, units, change);
        return abi.encodeCall(token.credit, (one));
    }

    function givesBack(address payer, bytes32 nonce, uint128 amount) internal view returns (bytes memory) {
        MintToken.GiveBack[] memory one = new MintToken.GiveBack[](1);
        one[0] = MintToken.GiveBack(payer, nonce, amount);
        return abi.encodeCall(token.giveBack, (one));
    }

    // Gains that several rows measure

    function unitsOfLoot() internal view returns (uint256) {
        return token.balanceOf(LOOT);
    }

    function moneyOfLoot() internal view returns (uint256) {
        return usdc.balanceOf(LOOT);
    }

    function failed(address by, address target, bytes memory data) internal returns (uint256) {
        return tries(by, target, data) ? 0 : 1;
    }
}
