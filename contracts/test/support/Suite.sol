// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {UsdcDouble} from "../../src/dev/UsdcDouble.sol";
import {Hub} from "../../src/Hub.sol";
import {MintToken} from "../../src/MintToken.sol";
import {Roles} from "../../src/Roles.sol";
import {TokenFactory} from "../../src/TokenFactory.sol";
import {Vm} from "./Vm.sol";

/// @notice The deployed contracts, and the vocabulary of the tests: people, payments, items, results.
abstract contract Suite {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint64 internal constant PRICE = 2e6;
    uint64 internal constant FEE = 5e6 + 1; // no whole number of units
    uint128 internal constant UNIT = 5e18;
    uint64 internal constant CAP = 1000;
    uint40 internal constant NOW = 1_800_000_000;
    uint256 internal constant ITEM_GAS = 100_000;

    // Results of `settle`, `credit` and `giveBack`.
    bytes1 internal constant OK = 0x00;
    bytes1 internal constant KEY_KNOWN = 0x01;
    bytes1 internal constant SOLD_OUT = 0x03;
    bytes1 internal constant FAILED = 0x04;
    bytes1 internal constant NOT_ATTEMPTED = 0x05;
    bytes1 internal constant IMPOSSIBLE = 0x06;
    bytes1 internal constant STOPPED = 0x07;

    address internal immutable OWNER = account("owner");
    address internal immutable GUARDIAN = account("guardian");
    address internal immutable TREASURY = account("treasury");
    address internal immutable OPERATOR = account("operator");
    address internal immutable CREATOR = account("creator");
    address internal immutable STRANGER = account("stranger");
    address internal immutable ALICE = account("alice");
    address internal immutable BOB = account("bob");

    UsdcDouble internal usdc;
    Hub internal hub;
    TokenFactory internal factory;
    MintToken internal token;

    /// @notice The fields that a payer signs, and the key to sign them with.
    struct Auth {
        uint256 key;
        address from;
        address to;
        uint64 value;
        uint40 validAfter;
        uint40 validBefore;
        bytes32 nonce;
    }

    function setUp() public virtual {
        vm.warp(NOW);
        usdc = new UsdcDouble();
        hub = new Hub();
        factory = new TokenFactory(address(usdc), address(hub), seats());
        token = free(CAP, "the token");
    }

    function seats() internal view returns (Roles.Seats memory) {
        return Roles.Seats({owner: OWNER, guardian: GUARDIAN, treasury: TREASURY, operator: OPERATOR});
    }

    // People

    function account(string memory name) internal pure returns (address) {
        return vm.addr(secret(name));
    }

    function secret(string memory name) internal pure returns (uint256) {
        return uint256(keccak256(bytes(name)));
    }

    /// @notice Calls as `caller`; returns whether it went well.
    function tries(address caller, address target, bytes memory data) internal returns (bool done) {
        vm.prank(caller);
        (done,) = target.call(data);
    }

    // Tokens

    function config() internal view returns (TokenFactory.TokenConfig memory) {
        return TokenFactory.TokenConfig({
            name: "Paper Boats",
            symbol: "BOAT",
            unit: UNIT,
            maxUnits: CAP,
            price: PRICE,
            creator: CREATOR,
            fee: FEE,
            metadataHash: keccak256("document"),
            salt: 0
        });
    }

    /// @notice A token without a fee.
    function free(uint64 cap, bytes32 salt) internal returns (MintToken) {
        TokenFactory.TokenConfig memory c = config();
        c.fee = 0;
        c.maxUnits = cap;
        c.salt = salt;
        (address made,) = factory.deployOne(c, nothing());
        return MintToken(made);
    }

    function nothing() internal pure returns (TokenFactory.Payment memory none) {}

    // Payments

    /// @notice An authorization of `name`, with money for a hundred units.
    function auth(string memory name, address to, uint64 value) internal returns (Auth memory a) {
        a = Auth({
            key: secret(name),
            from: account(name),
            to: to,
            value: value,
            validAfter: 0,
            validBefore: NOW + 30 days,
            nonce: keccak256(bytes(name))
        });
        usdc.mint(a.from, 100 * PRICE);
    }

    function typedDigest(bytes32 structHash) internal view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("USDC"),
                keccak256("2"),
                block.chainid,
                address(usdc)
            )
        );
        return keccak256(abi.encodePacked(bytes2(0x1901), domain, structHash));
    }

    /// @param kind "Transfer" or "Receive".
    function digest(Auth memory a, string memory kind) internal view returns (bytes32) {
        string memory fields =
            "WithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)";
        return typedDigest(
            keccak256(
                abi.encode(
                    keccak256(bytes(string.concat(kind, fields))),
                    a.from,
                    a.to,
                    uint256(a.value),
                    uint256(a.validAfter),
                    uint256(a.validBefore),
                    a.nonce
                )
            )
        );
    }

    /// @notice A signature of 65 bytes.
    function signature(Auth memory a, string memory kind) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(a.key, digest(a, kind));
        return abi.encodePacked(r, s, v);
    }

    /// @notice Submits the authorization to the asset, around `settle`, as anybody could.
    function submitAround(Auth memory a) internal {
        bytes memory signed = signature(a, "Transfer");
        vm.prank(STRANGER);
        usdc.transferWithAuthorization(a.from, a.to, a.value, a.validAfter, a.validBefore, a.nonce, signed);
    }

    function cancel(Auth memory a) internal {
        (uint8 v, bytes32 r, bytes32 s) = signedCancel(a);
        usdc.cancelAuthorization(a.from, a.nonce, v, r, s);
    }

    function signedCancel(Auth memory a) internal view returns (uint8 v, bytes32 r, bytes32 s) {
        bytes32 hash =
            keccak256(abi.encode(keccak256("CancelAuthorization(address authorizer,bytes32 nonce)"), a.from, a.nonce));
        return vm.sign(a.key, typedDigest(hash));
    }

    function keyOf(Auth memory a) internal view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(usdc), a.from, a.nonce));
    }

    // Items of `settle`

    function item(Auth memory a) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(a.key, digest(a, "Transfer"));
        return packed(a, a.validAfter, v, r, s);
    }

    /// @notice The payer signed ReceiveWithAuthorization.
    function itemReceive(Auth memory a) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(a.key, digest(a, "Receive"));
        return packed(a, a.validAfter | uint40(1 << 39), v, r, s);
    }

    /// @notice The signature lies in `signatures`.
    function itemLong(Auth memory a, uint64 gas_, uint96 offset, uint96 length) internal pure returns (bytes memory) {
        return
            abi.encodePacked(
                a.from, a.value, a.validAfter, a.validBefore, a.nonce, gas_, offset, length, bytes32(0)
            );
    }

    function packed(Auth memory a, uint40 validAfter, uint8 v, bytes32 r, bytes32 s)
        internal
        pure
        returns (bytes memory it)
    {
        bytes32 vs = bytes32(uint256(s) | uint256(v - 27) << 255);
        it = abi.encodePacked(a.from, a.value, validAfter, a.validBefore, a.nonce, r, vs);
        require(it.length == 134, "an item has 134 bytes");
    }

    function settle(bytes memory items) internal returns (bytes memory) {
        return token.settle("batch", ITEM_GAS, items, "");
    }

    /// @notice Settles one payment of `name` for `units` of `token`.
    function paid(string memory name, uint64 units) internal returns (Auth memory a) {
        a = auth(name, address(token), units * PRICE);
        same(settle(item(a)), hex"00", "paid");
    }

    // The other calls, for one key each

    function mint(bytes32 key) internal returns (uint8) {
        vm.prank(STRANGER);
        return uint8(token.batchMint(list(key))[0]);
    }

    function refundBy(address caller, bytes32 key) internal returns (uint8) {
        vm.prank(caller);
        return uint8(token.refund(list(key))[0]);
    }

    function credit(Auth memory a, uint32 units, uint128 change) internal returns (uint8) {
        MintToken.Credit[] memory credits = new MintToken.Credit[](1);
        credits[0] = MintToken.Credit(a.from, a.nonce, units, change);
        vm.prank(OPERATOR);
        return uint8(token.credit(credits)[0]);
    }

    function giveBack(Auth memory a, uint128 amount) internal returns (uint8) {
        MintToken.GiveBack[] memory back = new MintToken.GiveBack[](1);
        back[0] = MintToken.GiveBack(a.from, a.nonce, amount);
        vm.prank(OPERATOR);
        return uint8(token.giveBack(back)[0]);
    }

    function list(bytes32 a) internal pure returns (bytes32[] memory l) {
        l = new bytes32[](1);
        l[0] = a;
    }

    function list(bytes32 a, bytes32 b) internal pure returns (bytes32[] memory l) {
        l = new bytes32[](2);
        (l[0], l[1]) = (a, b);
    }

    // Items of `deploy`

    function payment(Auth memory a) internal view returns (TokenFactory.Payment memory) {
        return TokenFactory.Payment({
            payer: a.from,
            validAfter: a.validAfter,
            validBefore: a.validBefore,
            nonce: a.nonce,
            gas: 0,
            signature: signature(a, "Transfer")
        });
    }

    function list(bytes memory a) internal pure returns (bytes[] memory l) {
        l = new bytes[](1);
        l[0] = a;
    }

    function list(bytes memory a, bytes memory b) internal pure returns (bytes[] memory l) {
        l = new bytes[](2);
        (l[0], l[1]) = (a, b);
    }

    // Expectations

    /// @notice Asserts that the balance of the token is the sum of its books.
    function balanced() internal view {
        uint256 owed = (uint256(token.unitsMinted()) + token.open()) * PRICE - token.withdrawn() + token.feeOwed();
        same(usdc.balanceOf(address(token)), owed + token.surplus(), "the books");
    }

    function same(uint256 actual, uint256 expected, string memory what) internal pure {
        require(actual == expected, string.concat(what, ": ", text(actual), " and not ", text(expected)));
    }

    function same(bytes memory actual, bytes memory expected, string memory what) internal pure {
        require(
            keccak256(actual) == keccak256(expected), string.concat(what, ": ", hex_(actual), " and not ", hex_(expected))
        );
    }

    function same(address actual, address expected, string memory what) internal pure {
        require(actual == expected, what);
    }

    function same(string memory actual, string memory expected, string memory what) internal pure {
        require(keccak256(bytes(actual)) == keccak256(bytes(expected)), what);
    }

    function text(uint256 value) internal pure returns (string memory) {
        if (value < 10) return string(abi.encodePacked(bytes1(uint8(48 + value))));
        return string.concat(text(value / 10), text(value % 10));
    }

    function hex_(bytes memory data) internal pure returns (string memory) {
        bytes memory digits = "0123456789abcdef";
        bytes memory out = new bytes(2 * data.length);
        for (uint256 i = 0; i < data.length; ++i) {
            out[2 * i] = digits[uint8(data[i]) >> 4];
            out[2 * i + 1] = digits[uint8(data[i]) & 15];
        }
        return string(out);
    }
}
