// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MintToken} from "../../src/MintToken.sol";
import {CrowdBooks} from "./CrowdBooks.sol";

/// @notice All actors together. The operator's key is stolen: it claims any payer, nonce, quantity and amount. Every
/// result is compared with what the rules say.
contract Crowd is CrowdBooks {
    uint256 private constant AMPLE = 3_000_000;

    // The functions in `seen`.
    uint256 private constant SETTLE = 0;
    uint256 private constant MINT = 10;
    uint256 private constant REFUND = 20;
    uint256 private constant CREDIT = 30;
    uint256 private constant GIVE_BACK = 40;
    uint256 private constant WITHDRAW = 50; // 0 paid, 1 nothing due, 4 refused
    uint256 private constant SWEEP = 60; // as above
    uint256 private constant AROUND = 70; // 0 paid, 4 refused
    uint256 private constant NO_ROLE = 80;
    uint256 private constant UNDONE = 90; // gas ran short

    struct Try {
        uint256 t;
        uint256 gas;
        uint256 each;
        uint256 count;
        uint256[3] which;
        bool[3] altered;
        uint8[3] want;
    }

    uint256 private _steps;

    /// @dev Begins every action. The seeds of forge are often small or repeated, so that most choices would be the first
    /// of their list; a hash of the seed and of a counter makes all choices equally likely.
    function _begin(uint256 seed) private returns (uint256) {
        vm.warp(clock);
        seed = mix(seed, bytes32(++_steps));
        token = tokens[seed % 2];
        return seed;
    }

    function step(uint256 seed) external {
        uint256 kind = seed % 21;
        if (kind < 4) settles(seed);
        else if (kind < 6) mints(seed);
        else if (kind < 8) refunds(seed);
        else if (kind < 10) credits(seed);
        else if (kind < 12) returns_(seed);
        else if (kind == 12) around(seed);
        else if (kind == 13) cancels(seed);
        else if (kind < 16) withdraws(seed);
        else if (kind == 16) sweeps(seed);
        else if (kind == 17) roles(seed);
        else if (kind == 18) regulates(seed);
        else if (kind == 19) moves(seed);
        else time(seed);
    }

    // Payers

    /// @notice One to three payments, good, poor, altered, late, of another token or twice, sometimes short of gas.
    function settles(uint256 seed) public {
        seed = _begin(seed);
        Try memory y;
        (y.t, y.count) = (seed % 2, 1 + (seed >> 8) % 3);
        y.gas = (seed >> 16) % 4 == 0 ? 40_000 + (seed >> 24) % 400_000 : AMPLE;
        y.each = (seed >> 48) % 6 == 0 ? (seed >> 56) % 90_000 : (seed >> 48) % 12 == 1 ? 1e18 : ITEM_GAS;
        bytes memory items;
        for (uint256 i = 0; i < y.count; ++i) {
            uint256 random = mix(seed, bytes32(i));
            y.which[i] = random % PAYMENTS;
            if (payments[y.which[i]].to != address(token)) y.which[i] = (random >> 16) % PAYMENTS; // mostly its own
            y.altered[i] = (random >> 32) % 10 == 0;
            bytes memory it = item(payments[y.which[i]]);
            if (y.altered[i]) it[90] ^= 0x10;
            items = bytes.concat(items, it);
            y.want[i] = _wanted(y, i);
        }
        (bool done, bytes memory answer) =
            address(token).call{gas: y.gas}(abi.encodeCall(token.settle, ("b", y.each, items, "")));
        _settled(y, done, answer);
    }

    function _wanted(Try memory y, uint256 i) private view returns (uint8) {
        if (factory.settleStopped()) return 7;
        if (y.each == 1e18) return 5;
        Auth memory a = payments[y.which[i]];
        uint256 price = priceOf(y.t);
        if (a.value < price || a.value % price != 0) return 6;
        if (stateOf(y.t, keyOf(a)) != 0) return 1;
        uint256 before = taken(y.t);
        uint256 spent = a.value;
        for (uint256 j = 0; j < i; ++j) {
            if (y.want[j] != 0) continue;
            Auth memory b = payments[y.which[j]];
            before += b.value / price;
            if (b.from == a.from) spent += b.value;
            if (b.from == a.from && b.nonce == a.nonce) return 1;
        }
        if (before + a.value / price > capOf(y.t)) return 3;
        return y.altered[i] || a.to != address(token) || purse[a.from] < spent || !takes(y.t, a) ? 4 : 0;
    }

    function _settled(Try memory y, bool done, bytes memory answer) private {
        bool ample = y.gas == AMPLE && y.each >= ITEM_GAS;
        require(done || y.gas != AMPLE, "with enough gas it never reverts");
        if (!done) ++seen[UNDONE];
        bytes memory results = done ? abi.decode(answer, (bytes)) : new bytes(0);
        for (uint256 i = 0; i < results.length; ++i) {
            uint8 code = uint8(results[i]);
            if (ample) equal(code, y.want[i], "settle");
            require(ample || code <= 7, "a code of the table");
            ++seen[SETTLE + code];
            if (code != 0) continue;
            Auth memory a = payments[y.which[i]];
            paidBy(y.t, a);
            recorded(y.t, keyOf(a), a.from, a.value / priceOf(y.t));
        }
    }

    /// @notice Somebody submits a payment to the asset, around the token.
    function around(uint256 seed) public {
        seed = _begin(seed);
        Auth memory a = payments[seed % PAYMENTS];
        uint256 t = a.to == address(tokens[0]) ? 0 : 1;
        bool due = takes(t, a) && purse[a.from] >= a.value;
        bytes memory data = abi.encodeWithSelector(
            0xcf092995, a.from, a.to, a.value, a.validAfter, a.validBefore, a.nonce, signature(a, "Transfer")
        );
        equal(tries(STRANGER, address(usdc), data) ? 1 : 0, due ? 1 : 0, "the asset's rules");
        ++seen[AROUND + (due ? 0 : 4)];
        if (!due) return;
        paidBy(t, a);
        accounts[t][a.from].around = true;
    }

    function cancels(uint256 seed) public {
        seed = _begin(seed);
        Auth memory a = payments[seed % PAYMENTS];
        if (seed >> 128 & 3 == 0 && !usdc.paused() && !usdc.authorizationState(a.from, a.nonce)) cancel(a);
    }

    /// @notice Payers move money among themselves and to the tokens, holders move units.
    function moves(uint256 seed) public {
        seed = _begin(seed);
        address from = people[(seed >> 8) % PEOPLE];
        address to = people[(seed >> 16) % PEOPLE];
        if (!usdc.paused() && !usdc.isBlacklisted(from) && !usdc.isBlacklisted(to)) {
            uint256 amount = purse[from] / 3;
            vm.prank(from);
            usdc.transfer(to, amount);
            purse[from] -= amount;
            purse[to] += amount;
        }
        uint256 t = seed % 2;
        if (!blocked(t, STRANGER)) {
            uint256 gift = 1 + (seed >> 24) % (5 * PRICE);
            usdc.mint(address(token), gift);
            books[t].held += gift;
            books[t].donated += gift;
        }
        to = (seed >> 64) % 4 == 0 ? STRANGER : to;
        uint256 part = units[t][from] / 2;
        vm.prank(from);
        token.transfer(to, part);
        units[t][from] -= part;
        units[t][to] += part;
    }

    // Endings

    function mints(uint256 seed) public {
        seed = _begin(seed);
        bytes32[] memory list_ = someKeys(seed);
        uint256 gas_ = (seed >> 16) % 4 == 0 ? 20_000 + (seed >> 24) % 200_000 : AMPLE;
        vm.prank(STRANGER);
        (bool done, bytes memory answer) = address(token).call{gas: gas_}(abi.encodeCall(token.batchMint, (list_)));
        require(done || gas_ != AMPLE, "with enough gas it never reverts");
        if (!done) ++seen[UNDONE];
        bytes memory results = done ? abi.decode(answer, (bytes)) : new bytes(0);
        for (uint256 i = 0; i < results.length; ++i) {
            uint8 state = stateOf(seed % 2, list_[i]);
            uint8 want = state == 1 ? 0 : state == 2 ? 1 : state == 0 ? 5 : 2;
            equal(uint8(results[i]), want, "batchMint");
            ++seen[MINT + want];
            if (want == 0) mintedTo(seed % 2, list_[i]);
        }
    }

    function refunds(uint256 seed) public {
        seed = _begin(seed);
        bytes32[] memory list_ = someKeys(seed);
        uint256 gas_ = (seed >> 16) % 5 == 0 ? 20_000 + (seed >> 24) % 200_000 : AMPLE;
        address caller =
            [records[seed % 2][list_[0]].payer, STRANGER, _operator(seed), _operator(seed)][(seed >> 48) % 4];
        if (caller == address(0)) caller = CREATOR;
        vm.prank(caller);
        (bool done, bytes memory answer) = address(token).call{gas: gas_}(abi.encodeCall(token.refund, (list_)));
        require(done || gas_ != AMPLE, "with enough gas it never reverts");
        if (!done) ++seen[UNDONE];
        bytes memory results = done ? abi.decode(answer, (bytes)) : new bytes(0);
        for (uint256 i = 0; i < results.length; ++i) {
            _refunded(seed % 2, list_[i], uint8(results[i]), caller, gas_ == AMPLE);
        }
    }

    function _refunded(uint256 t, bytes32 key, uint8 code, address caller, bool ample) private {
        uint8 want = _wantedRefund(t, key, caller);
        require(code == want || (!ample && want == 0 && code == 4), "refund");
        ++seen[REFUND + code];
        if (code != 0) return;
        (address payer, uint256 count) = ended(t, key, 3);
        paidBack(t, payer, count * priceOf(t));
    }

    function _wantedRefund(uint256 t, bytes32 key, address caller) private view returns (uint8) {
        Record storage r = records[t][key];
        if (r.state != 1) return r.state == 2 ? 1 : r.state == 0 ? 5 : 2;
        bool due = caller == r.payer && clock >= r.paidAt + 7 days;
        if (!due && !factory.isOperator(caller)) return 7;
        return blocked(t, r.payer) ? 4 : 0;
    }

    // The stolen operator key

    function credits(uint256 seed) public {
        seed = _begin(seed);
        MintToken.Credit[] memory c = new MintToken.Credit[](1 + (seed >> 8) % 2);
        for (uint256 i = 0; i < c.length; ++i) {
            uint256 random = mix(seed, bytes32(i));
            Auth memory a = payments[random % PAYMENTS];
            c[i] = MintToken.Credit(a.from, a.nonce, uint32((random >> 16) % 4), 0);
            if ((random >> 32) % 2 == 0) c[i].change = uint128((random >> 40) % (2 * PRICE));
            if ((random >> 136) % 8 == 0) c[i].change = _rest(seed % 2, c[i].units, (random >> 144) % 2);
            if ((random >> 128) % 12 == 0) c[i].payer = address(0);
        }
        bytes memory results = _byOperator(seed, abi.encodeCall(token.credit, (c)));
        for (uint256 i = 0; i < results.length; ++i) {
            _credited(seed % 2, c[i], uint8(results[i]));
        }
    }

    /// @dev All of the surplus that a credit leaves, or one more.
    function _rest(uint256 t, uint256 count, uint256 more) private view returns (uint128) {
        uint256 cost = count * priceOf(t);
        return surplusOf(t) < cost ? 0 : uint128(surplusOf(t) - cost + more);
    }

    function _credited(uint256 t, MintToken.Credit memory c, uint8 code) private {
        equal(code, _wantedCredit(t, c), "credit");
        ++seen[CREDIT + code];
        if (code != 0) return;
        accounts[t][c.payer].around = true;
        recorded(t, token.keyOf(c.payer, c.nonce), c.payer, c.units);
        paidBack(t, c.payer, c.change);
    }

    function _wantedCredit(uint256 t, MintToken.Credit memory c) private view returns (uint8) {
        if (c.units == 0 || c.payer == address(0)) return 6;
        uint8 code = _wantedClaim(t, c.payer, c.nonce, c.units * priceOf(t) + c.change);
        if (code != 0) return code;
        if (taken(t) + c.units > capOf(t)) return 3;
        return c.change != 0 && blocked(t, c.payer) ? 4 : 0;
    }

    function returns_(uint256 seed) public {
        seed = _begin(seed);
        MintToken.GiveBack[] memory g = new MintToken.GiveBack[](1 + (seed >> 8) % 2);
        for (uint256 i = 0; i < g.length; ++i) {
            uint256 random = mix(seed, bytes32(i));
            Auth memory a = payments[random % PAYMENTS];
            g[i] = MintToken.GiveBack(a.from, a.nonce, uint128((random >> 16) % (3 * priceOf(seed % 2))));
            if ((random >> 128) % 4 == 0) g[i].amount = uint128(surplusOf(seed % 2));
            if ((random >> 136) % 12 == 0) g[i].payer = address(0);
        }
        bytes memory results = _byOperator(seed, abi.encodeCall(token.giveBack, (g)));
        for (uint256 i = 0; i < results.length; ++i) {
            _returned(seed % 2, g[i], uint8(results[i]));
        }
    }

    function _returned(uint256 t, MintToken.GiveBack memory g, uint8 code) private {
        equal(code, _wantedReturn(t, g), "giveBack");
        ++seen[GIVE_BACK + code];
        if (code != 0) return;
        accounts[t][g.payer].around = true;
        records[t][token.keyOf(g.payer, g.nonce)] = Record(g.payer, 0, clock, 4);
        paidBack(t, g.payer, g.amount);
    }

    function _wantedReturn(uint256 t, MintToken.GiveBack memory g) private view returns (uint8) {
        if (g.amount == 0 || g.payer == address(0)) return 6;
        uint8 code = _wantedClaim(t, g.payer, g.nonce, g.amount);
        return code == 0 && blocked(t, g.payer) ? 4 : code;
    }

    function _wantedClaim(uint256 t, address payer, bytes32 nonce, uint256 amount) private view returns (uint8) {
        if (stateOf(t, token.keyOf(payer, nonce)) != 0) return 1;
        if (!usdc.authorizationState(payer, nonce)) return 5;
        return amount > surplusOf(t) ? 7 : 0;
    }

    /// @return The results; none if the caller is no operator, for then nothing may have happened.
    function _byOperator(uint256 seed, bytes memory data) private returns (bytes memory) {
        address caller = (seed >> 64) % 8 == 0 ? STRANGER : _operator(seed);
        bool may = factory.isOperator(caller);
        vm.prank(caller);
        (bool done, bytes memory answer) = address(token).call(data);
        require(done == may, "operators, and only they");
        if (!may) ++seen[NO_ROLE];
        return done ? abi.decode(answer, (bytes)) : new bytes(0);
    }

    function _operator(uint256 seed) private view returns (address) {
        return (seed >> 72) % 2 == 0 || factory.isOperator(OPERATOR) ? OPERATOR : account("second operator");
    }

    // Earnings

    function withdraws(uint256 seed) public {
        seed = _begin(seed);
        uint256 t = seed % 2;
        bool elsewhere = (seed >> 8) % 3 == 0;
        address to = elsewhere ? account("elsewhere") : CREATOR;
        uint256 due = books[t].minted * priceOf(t) - books[t].withdrawn;
        bool done = elsewhere
            ? tries(CREATOR, address(token), abi.encodeCall(token.withdrawTo, (to)))
            : tries(STRANGER, address(token), abi.encodeCall(token.withdraw, ()));
        require(done == (due == 0 || !blocked(t, to)), "withdraw");
        ++seen[WITHDRAW + (due == 0 ? 1 : done ? 0 : 4)];
        if (!done) return;
        (books[t].withdrawn, books[t].held) = (books[t].withdrawn + due, books[t].held - due);
        purse[to] += due;
    }

    function sweeps(uint256 seed) public {
        seed = _begin(seed);
        uint256 t = seed % 2;
        address to = factory.treasury();
        uint256 fee = books[t].feeOwed;
        bool done = tries(STRANGER, address(token), abi.encodeCall(token.sweepFee, ()));
        require(done == (fee == 0 || !blocked(t, to)), "sweepFee");
        ++seen[SWEEP + (fee == 0 ? 1 : done ? 0 : 4)];
        if (!done) return;
        (books[t].feeOwed, books[t].held) = (0, books[t].held - fee);
        purse[to] += fee;
    }

    // Roles, the asset, time

    function roles(uint256 seed) public {
        seed = _begin(seed);
        address operator = (seed >> 8) % 2 == 0 ? OPERATOR : account("second operator");
        address owner = factory.owner();
        address guardian = factory.guardian();
        address next = owner == OWNER ? account("second owner") : OWNER;
        uint256 kind = seed % 16;
        if (kind < 3) tries(owner, address(factory), abi.encodeCall(factory.resumeSettle, ()));
        if (kind < 5 && kind > 2) {
            tries(kind == 3 ? guardian : owner, address(factory), abi.encodeCall(factory.stopSettle, ()));
        }
        if (kind == 5) tries(guardian, address(factory), abi.encodeCall(factory.removeOperator, (operator)));
        if (kind > 5 && kind < 10) tries(owner, address(factory), abi.encodeCall(factory.appointOperator, (operator)));
        address treasury = kind == 10 ? account("second treasury") : TREASURY;
        if (kind == 10 || kind == 11) tries(owner, address(factory), abi.encodeCall(factory.setTreasury, (treasury)));
        if (kind == 12) tries(guardian, address(factory), abi.encodeCall(factory.cancelTreasury, ()));
        if (kind == 13) tries(owner, address(factory), abi.encodeCall(factory.setGuardian, (next)));
        if (kind == 14) tries(owner, address(factory), abi.encodeCall(factory.offerOwnership, (next)));
        if (kind == 15) tries(next, address(factory), abi.encodeCall(factory.acceptOwnership, ()));
    }

    /// @notice The asset is paused or not; payers, tokens, creator and treasury are blacklisted or not.
    function regulates(uint256 seed) public {
        seed = _begin(seed);
        if ((seed >> 8) % 4 == 0) usdc.pause();
        else usdc.unpause();
        uint256 who = (seed >> 16) % (PEOPLE + 4);
        address target =
            who < PEOPLE ? people[who] : [address(tokens[0]), address(tokens[1]), CREATOR, TREASURY][who - PEOPLE];
        if ((seed >> 24) % 3 == 0) usdc.blacklist(target);
        else usdc.unBlacklist(target);
    }

    function time(uint256 seed) public {
        seed = _begin(seed);
        clock += uint40(seed % 3 days);
    }
}
