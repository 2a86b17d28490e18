// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MintToken} from "../../src/MintToken.sol";
import {TokenFactory} from "../../src/TokenFactory.sol";
import {Suite} from "./Suite.sol";

/// @notice All actors of the invariant tests: payers, givers, a minter and an operator whose keys are stolen (they
/// choose freely among all payments, quantities and amounts), the creator, strangers. It keeps its own accounts and
/// compares the result of every step with them.
contract Crowd is Suite {
    uint256 public constant KEYS = 24;

    uint256 public received;
    uint256 public refunded;
    uint256 public unitsMinted;
    mapping(bytes32 paymentKey => uint256) public timesMinted;
    mapping(bytes32 paymentKey => uint256) public timesRefunded;
    /// @notice Number of times each result occurred: items at 0 to 6, authorizations at 10 (paid), 14 and 15, refunds at
    /// 20, refused ones at 21; withdrawals at 30.
    mapping(uint256 what => uint256) public seen;

    uint256 private _authorizations;
    bytes private _lastItems;

    constructor() {
        setUp();
    }

    function tokenUnderTest() external view returns (MintToken) {
        return token;
    }

    function keyAt(uint256 i) public pure returns (bytes32) {
        return keccak256(abi.encode("payment", i % KEYS));
    }

    // Actions

    /// @notice Up to three payers pay by signature. Some lack the money, some batches are short of gas.
    function pay(uint256 seed) external {
        bytes memory items;
        uint256 count = 1 + seed % 3;
        uint64[] memory values = new uint64[](count);
        for (uint256 i = 0; i < count; ++i) {
            Auth memory auth = funded(string.concat("payer", toString(_authorizations)));
            auth.nonce = bytes32(_authorizations++);
            values[i] = auth.value = uint64(uint256(keccak256(abi.encode(seed, i))) % (11 * PRICE));
            items = bytes.concat(items, signed(auth));
        }
        _lastItems = items;
        uint256 gas_ = seed % 5 == 0 ? 60_000 + ITEM_GAS + seed % 200_000 : 5_000_000;
        uint256 before = usdc.balanceOf(address(token));
        bytes memory results = settlement.settleBatch{gas: gas_}("batch", ITEM_GAS, items);
        for (uint256 i = 0; i < count; ++i) {
            ++seen[10 + uint8(results[i])];
            if (uint8(results[i]) == 0) received += values[i];
            require((uint8(results[i]) == 4) == (values[i] > 10 * PRICE) || uint8(results[i]) == 5, "code");
            before += uint8(results[i]) == 0 ? values[i] : 0;
        }
        same(usdc.balanceOf(address(token)), before, "0 means paid, and nothing else does");
    }

    /// @notice Sends the last batch again: paid items fail, unattempted ones are paid now or fail for lack of money.
    function payAgain() external {
        if (_lastItems.length == 0) return;
        uint256 before = usdc.balanceOf(address(token));
        settle(_lastItems);
        received += usdc.balanceOf(address(token)) - before;
        before = usdc.balanceOf(address(token));
        bytes memory results = settle(_lastItems);
        for (uint256 i = 0; i < results.length; ++i) {
            same(uint8(results[i]), 4, "third time");
        }
        same(usdc.balanceOf(address(token)), before, "nothing is paid twice");
    }

    function give(uint64 amount) external {
        amount = 1 + amount % (3 * PRICE);
        usdc.mint(address(token), amount);
        received += amount;
    }

    /// @notice The stolen minter key: any keys, any quantities, any recipients, paid or not.
    function mint(uint256 seed) external {
        uint256 count = 1 + seed % 6;
        address[] memory to = new address[](count);
        uint32[] memory quantities = new uint32[](count);
        bytes32[] memory keys = new bytes32[](count);
        uint8[] memory before = new uint8[](count);
        for (uint256 i = 0; i < count; ++i) {
            uint256 random = uint256(keccak256(abi.encode(seed, i)));
            to[i] = [ALICE, BOB, CREATOR, address(0), address(token), STRANGER][random % 6];
            quantities[i] = uint32((random >> 8) % 8 == 0 ? (random >> 16) % 1500 : (random >> 16) % 5);
            keys[i] = keyAt(random >> 48);
            before[i] = token.outcome(keys[i]);
        }
        uint256 supply = token.totalSupply();
        vm.prank(MINTER);
        bytes memory results = token.batchMint(to, quantities, keys);
        for (uint256 i = 0; i < count; ++i) {
            uint8 code = uint8(results[i]);
            ++seen[code];
            if (before[i] != 0) same(code, before[i], "an outcome does not change");
            if (code != 0) continue;
            ++timesMinted[keys[i]];
            unitsMinted += quantities[i];
            supply += uint256(quantities[i]) * UNIT;
        }
        same(token.totalSupply(), supply, "0 means minted, and nothing else does");
    }

    /// @notice The stolen operator key: any payment, any amount.
    function refund(uint256 seed) external {
        bytes32 paymentKey = keyAt(seed >> 8);
        uint256 available = token.refundable();
        uint256 amount = seed % (available + available / 4 + 2);
        bool due = token.outcome(paymentKey) == 0 && amount > 0 && amount <= available;
        vm.prank(OPERATOR);
        (bool ok,) = address(token).call(abi.encodeCall(MintToken.refund, (STRANGER, amount, paymentKey)));
        require(ok == due, "refunded when it may be, and only then");
        ++seen[ok ? 20 : 21];
        if (!ok) return;
        ++timesRefunded[paymentKey];
        refunded += amount;
    }

    function withdraw(address anybody) external {
        vm.prank(anybody);
        token.withdraw();
        ++seen[30];
    }

    function createAgain(address anybody) external {
        vm.prank(anybody);
        same(factory.createToken("first", config()), address(token), "the same token");
    }

    function strangersTry(address anybody) external {
        vm.assume(anybody != MINTER && anybody != OPERATOR);
        vm.startPrank(anybody);
        (bool minted,) =
            address(token).call(abi.encodeCall(MintToken.batchMint, (list(anybody), list(uint32(1)), list(keyAt(0)))));
        (bool taken,) = address(token).call(abi.encodeCall(MintToken.refund, (anybody, 1, keyAt(0))));
        (bool appointed,) = address(factory).call(abi.encodeCall(TokenFactory.setMinter, (anybody, true)));
        vm.stopPrank();
        require(!minted && !taken && (!appointed || anybody == OWNER), "none of it");
        if (appointed) {
            vm.prank(OWNER);
            factory.setMinter(anybody, false);
        }
    }

    function moveTokens(uint256 seed) external {
        address from = [ALICE, BOB, STRANGER][seed % 3];
        uint256 balance = token.balanceOf(from);
        vm.prank(from);
        token.transfer(CREATOR, balance == 0 ? 0 : (seed >> 8) % balance);
    }

    function moneyOfTheCreator() external view returns (uint256) {
        return usdc.balanceOf(CREATOR);
    }

    function moneyOfTheToken() external view returns (uint256) {
        return usdc.balanceOf(address(token));
    }

    function moneyOfTheSettlement() external view returns (uint256) {
        return usdc.balanceOf(address(settlement));
    }
}
