// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MintToken} from "../../src/MintToken.sol";
import {TokenFactory} from "../../src/TokenFactory.sol";
import {Suite} from "./Suite.sol";

/// @notice The books that the crowd keeps by itself, from what the rules say. The contracts are compared with them.
/// @dev Two tokens of one factory. The first is small, so that it sells out, and owes its deployment fee. The second has
/// the extremes: three units cost the largest value of an item, and the cap is the largest.
abstract contract CrowdBooks is Suite {
    uint256 public constant PEOPLE = 6;
    uint256 public constant PAYMENTS = 30;

    struct Record {
        address payer;
        uint32 units;
        uint40 paidAt;
        uint8 state;
    }

    struct Books {
        uint256 held;
        uint256 open;
        uint256 minted;
        uint256 withdrawn;
        uint256 feeOwed;
        uint256 donated;
    }

    /// @notice The position of one payer with one token.
    struct Account {
        uint256 paidIn; // through `settle` and around it
        uint256 cameBack; // refunds, returns and change
        uint256 open; // units
        uint256 minted; // units
        bool around; // something went around `settle`, or an operator claimed so
    }

    MintToken[2] internal tokens;
    Auth[] internal payments;
    bytes32[] internal keys; // of the payments
    address[] internal people;
    uint40 internal clock;

    mapping(uint256 t => Books) internal books;
    mapping(uint256 t => mapping(bytes32 key => Record)) internal records;
    mapping(uint256 t => mapping(address payer => Account)) internal accounts;
    mapping(uint256 t => mapping(address holder => uint256)) internal units;
    /// @notice The money that an account should have.
    mapping(address account => uint256) internal purse;
    /// @notice Number of times that a function had a result: the function times 10 plus the result.
    mapping(uint256 what => uint256) public seen;

    constructor() {
        setUp();
        clock = NOW;
        TokenFactory.TokenConfig memory c = config();
        (c.maxUnits, c.salt) = (10, "crowd");
        address made = factory.predictToken(c);
        usdc.mint(made, FEE);
        usdc.blacklist(TREASURY);
        factory.deployOne(c, nothing());
        usdc.unBlacklist(TREASURY);
        tokens[0] = MintToken(made);
        (books[0].held, books[0].feeOwed) = (FEE, FEE);
        (c.unit, c.maxUnits, c.price, c.fee) = (2 ** 64, type(uint64).max, type(uint64).max / 3, 0);
        (made,) = factory.deployOne(c, nothing());
        tokens[1] = MintToken(made);
        for (uint256 i = 0; i < PEOPLE; ++i) {
            people.push(account(string.concat("person", text(i))));
            purse[people[i]] = i == 4 ? 4 * PRICE : 1000 * uint256(PRICE) + 60 * uint256(c.price);
            usdc.mint(people[i], purse[people[i]]);
        }
        for (uint256 i = 0; i < PAYMENTS; ++i) {
            payments.push(_payment(i));
            keys.push(keyOf(payments[i]));
        }
    }

    /// @dev Some have no whole number of units, some are soon too late, some share a nonce.
    function _payment(uint256 i) private view returns (Auth memory a) {
        uint256 random = uint256(keccak256(abi.encode("payment", i)));
        uint256 t = random % 3 == 0 ? 1 : 0;
        a.key = secret(string.concat("person", text(i % PEOPLE)));
        a.from = people[i % PEOPLE];
        a.to = address(tokens[t]);
        a.value = tokens[t].price() * uint64(1 + (random >> 8) % 3);
        if (i % 7 == 3) a.value -= 1;
        a.validBefore = i % 9 == 5 ? NOW + 20 days : NOW + 3650 days;
        a.nonce = bytes32(i % 10 == 9 ? i - PEOPLE : i);
    }

    // Choices

    /// @dev Up to three keys, sometimes one twice, sometimes an unknown one.
    function someKeys(uint256 seed) internal view returns (bytes32[] memory list_) {
        list_ = new bytes32[](1 + (seed >> 8) % 3);
        for (uint256 i = 0; i < list_.length; ++i) {
            list_[i] = keys[mix(seed, bytes32(i)) % PAYMENTS];
        }
        if ((seed >> 80) % 8 == 0) list_[list_.length - 1] = (seed >> 83) % 2 == 0 ? list_[0] : bytes32("unknown");
    }

    function mix(uint256 seed, bytes32 salt) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, salt)));
    }

    // What the rules say

    function stateOf(uint256 t, bytes32 key) internal view returns (uint8) {
        return records[t][key].state;
    }

    function priceOf(uint256 t) internal pure returns (uint256) {
        return t == 0 ? PRICE : type(uint64).max / 3;
    }

    function capOf(uint256 t) internal pure returns (uint256) {
        return t == 0 ? 10 : type(uint64).max;
    }

    function taken(uint256 t) internal view returns (uint256) {
        return books[t].open + books[t].minted;
    }

    function surplusOf(uint256 t) internal view returns (uint256) {
        Books storage b = books[t];
        return b.held - (taken(t) * priceOf(t) - b.withdrawn + b.feeOwed);
    }

    /// @notice True if the asset moves no money between the token and this account.
    function blocked(uint256 t, address other) internal view returns (bool) {
        return usdc.paused() || usdc.isBlacklisted(other) || usdc.isBlacklisted(address(tokens[t]));
    }

    /// @notice True if the asset takes this authorization, the signature and the payer's balance aside.
    function takes(uint256 t, Auth memory a) internal view returns (bool) {
        return !blocked(t, a.from) && !usdc.authorizationState(a.from, a.nonce) && clock < a.validBefore;
    }

    // What happened

    function paidBy(uint256 t, Auth memory a) internal {
        (books[t].held, purse[a.from]) = (books[t].held + a.value, purse[a.from] - a.value);
        accounts[t][a.from].paidIn += a.value;
    }

    function paidBack(uint256 t, address payer, uint256 amount) internal {
        (books[t].held, purse[payer]) = (books[t].held - amount, purse[payer] + amount);
        accounts[t][payer].cameBack += amount;
    }

    function recorded(uint256 t, bytes32 key, address payer, uint256 count) internal {
        equal(stateOf(t, key), 0, "a record is made once");
        records[t][key] = Record(payer, uint32(count), clock, 1);
        books[t].open += count;
        accounts[t][payer].open += count;
    }

    function mintedTo(uint256 t, bytes32 key) internal {
        (address payer, uint256 count) = ended(t, key, 2);
        books[t].minted += count;
        accounts[t][payer].minted += count;
        units[t][payer] += count * tokens[t].unit();
    }

    /// @dev A record ends once.
    function ended(uint256 t, bytes32 key, uint8 state) internal returns (address payer, uint256 count) {
        Record storage r = records[t][key];
        equal(r.state, 1, "a record ends once");
        (payer, count, r.state) = (r.payer, r.units, state);
        books[t].open -= count;
        accounts[t][payer].open -= count;
    }

    // Comparisons

    /// @dev Like `same`, but builds no text for what is equal, because this runs thousands of times.
    function equal(uint256 actual, uint256 expected, string memory what) internal pure {
        if (actual != expected) same(actual, expected, what);
    }

    function checkBooks(uint256 t) external view {
        Books storage b = books[t];
        MintToken k = tokens[t];
        equal(usdc.balanceOf(address(k)), b.held, "the token's money");
        equal(k.open(), b.open, "open");
        equal(k.unitsMinted(), b.minted, "unitsMinted");
        equal(k.withdrawn(), b.withdrawn, "withdrawn");
        equal(k.feeOwed(), b.feeOwed, "feeOwed");
        equal(k.surplus(), surplusOf(t), "surplus");
        uint256 owed = (uint256(k.unitsMinted()) + k.open()) * k.price() - k.withdrawn() + k.feeOwed();
        equal(usdc.balanceOf(address(k)), owed + k.surplus(), "balance = owed + surplus");
        require(uint256(k.open()) + k.unitsMinted() <= k.maxUnits(), "the cap");
        require(k.withdrawn() <= uint256(k.unitsMinted()) * k.price(), "the creator has no more than is minted");
    }

    function checkSupply(uint256 t) external view {
        MintToken k = tokens[t];
        uint256 sum;
        for (uint256 i = 0; i <= PEOPLE; ++i) {
            address holder = i == PEOPLE ? STRANGER : people[i];
            equal(k.balanceOf(holder), units[t][holder], "units of a holder");
            sum += k.balanceOf(holder);
        }
        equal(k.totalSupply(), sum, "the supply is what the holders have");
        equal(k.totalSupply(), uint256(k.unitsMinted()) * k.unit(), "the supply is what was minted");
    }

    function checkRecords(uint256 t) external view {
        uint256 open;
        uint256 minted;
        uint256[] memory words = tokens[t].recordsOf(keys);
        for (uint256 i = 0; i < PAYMENTS; ++i) {
            Record storage r = records[t][keys[i]];
            equal(words[i], _word(r), "the record");
            if (words[i] == 0) continue;
            require(usdc.authorizationState(payments[i].from, payments[i].nonce), "no record without a spent nonce");
            if (i % 10 == 9) continue; // shares the key of another
            if (r.state == 1) open += r.units;
            if (r.state == 2) minted += r.units;
        }
        equal(open, tokens[t].open(), "open is the sum of the open records");
        equal(minted, tokens[t].unitsMinted(), "unitsMinted is the sum of the minted records");
    }

    function _word(Record storage r) private view returns (uint256) {
        return uint256(uint160(r.payer)) << 96 | uint256(r.units) << 64 | uint256(r.paidAt) << 24 | r.state;
    }

    /// @notice The sum that a payer paid is minted, open, back, or surplus. Without the operator there is no surplus.
    function checkPayers(uint256 t) external view {
        int256 sum = int256(books[t].donated);
        for (uint256 i = 0; i < PEOPLE; ++i) {
            Account storage a = accounts[t][people[i]];
            int256 rest = int256(a.paidIn) - int256(a.cameBack + (a.open + a.minted) * priceOf(t));
            require(a.around || rest == 0, "a payer who used `settle` only has everything");
            sum += rest;
        }
        require(sum == int256(tokens[t].surplus()), "the rests of all payers are the surplus");
    }

    function checkPurses() external view {
        for (uint256 i = 0; i < PEOPLE; ++i) {
            equal(usdc.balanceOf(people[i]), purse[people[i]], "a payer's money");
        }
        address[4] memory others = [CREATOR, TREASURY, account("second treasury"), account("elsewhere")];
        for (uint256 i = 0; i < 4; ++i) {
            equal(usdc.balanceOf(others[i]), purse[others[i]], "what was earned");
        }
        equal(usdc.balanceOf(OPERATOR) + usdc.balanceOf(STRANGER), 0, "thieves have no money");
    }
}
