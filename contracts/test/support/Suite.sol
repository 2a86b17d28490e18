// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Settlement} from "../../src/Settlement.sol";
import {TokenFactory} from "../../src/TokenFactory.sol";
import {MintToken} from "../../src/MintToken.sol";
import {UsdcDouble} from "../../src/dev/UsdcDouble.sol";
import {Vm} from "./Vm.sol";

/// @notice The deployed contracts, and the vocabulary of the tests: payers, batches, results.
abstract contract Suite {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint64 internal constant DOLLAR = 1e6;
    uint64 internal constant PRICE = 2 * DOLLAR;
    uint128 internal constant UNIT = 5e18;
    uint64 internal constant CAP = 1000;
    uint256 internal constant ITEM_GAS = 120_000;
    uint40 internal constant NOW = 1_800_000_000;

    address internal immutable OWNER = account("owner");
    address internal immutable MINTER = account("minter");
    address internal immutable OPERATOR = account("operator");
    address internal immutable CREATOR = account("creator");
    address internal immutable ALICE = account("alice");
    address internal immutable BOB = account("bob");
    address internal immutable STRANGER = account("stranger");

    UsdcDouble internal usdc;
    Settlement internal settlement;
    TokenFactory internal factory;
    MintToken internal token;

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
        settlement = new Settlement(address(usdc));
        factory = new TokenFactory(address(usdc), OWNER);
        vm.startPrank(OWNER);
        factory.setMinter(MINTER, true);
        factory.setOperator(OPERATOR, true);
        vm.stopPrank();
        token = MintToken(factory.createToken("first", config()));
    }

    // People

    function account(string memory name) internal pure returns (address) {
        return vm.addr(keyOf(name));
    }

    function keyOf(string memory name) internal pure returns (uint256) {
        return uint256(keccak256(bytes(name)));
    }

    function config() internal view returns (TokenFactory.TokenConfig memory) {
        return TokenFactory.TokenConfig("Paper Boats", "BOAT", UNIT, CAP, PRICE, CREATOR);
    }

    // Payments

    /// @notice An authorization of `name` to pay one unit of `token`, with the money to do it.
    function funded(string memory name) internal returns (Auth memory auth) {
        auth = Auth({
            key: keyOf(name),
            from: account(name),
            to: address(token),
            value: PRICE,
            validAfter: 0,
            validBefore: NOW + 1 hours,
            nonce: keccak256(bytes(name))
        });
        usdc.mint(auth.from, 10 * PRICE);
    }

    function fundedMany(uint256 count) internal returns (Auth[] memory auths) {
        auths = new Auth[](count);
        for (uint256 i = 0; i < count; ++i) {
            auths[i] = funded(string.concat("payer", toString(i)));
        }
    }

    function digestOf(Auth memory auth) internal view returns (bytes32) {
        return typedDigest(
            keccak256(
                abi.encode(
                    keccak256(
                        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
                    ),
                    auth.from,
                    auth.to,
                    uint256(auth.value),
                    uint256(auth.validAfter),
                    uint256(auth.validBefore),
                    auth.nonce
                )
            )
        );
    }

    /// @notice The EIP-712 digest, with the domain spelled out here instead of read from the asset.
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

    function signed(Auth memory auth) internal view returns (bytes memory item) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(auth.key, digestOf(auth));
        return packed(auth, v, r, s);
    }

    function packed(Auth memory auth, uint8 v, bytes32 r, bytes32 s) internal pure returns (bytes memory item) {
        bytes32 vs = bytes32(uint256(s) | (uint256(v - 27) << 255));
        item = abi.encodePacked(auth.from, auth.to, auth.value, auth.validAfter, auth.validBefore, auth.nonce, r, vs);
        require(item.length == 154, "the item is 154 bytes");
    }

    function signedAll(Auth[] memory auths) internal view returns (bytes memory items) {
        for (uint256 i = 0; i < auths.length; ++i) {
            items = bytes.concat(items, signed(auths[i]));
        }
    }

    /// @notice Submits the authorization directly, as anybody could, not through the settlement.
    function submitDirectly(Auth memory auth) internal {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(auth.key, digestOf(auth));
        vm.prank(STRANGER);
        usdc.transferWithAuthorization(
            auth.from, auth.to, auth.value, auth.validAfter, auth.validBefore, auth.nonce, v, r, s
        );
    }

    function signedCancel(Auth memory auth) internal view returns (uint8 v, bytes32 r, bytes32 s) {
        return vm.sign(
            auth.key,
            typedDigest(
                keccak256(
                    abi.encode(
                        keccak256("CancelAuthorization(address authorizer,bytes32 nonce)"), auth.from, auth.nonce
                    )
                )
            )
        );
    }

    // Batches

    function settle(bytes memory items) internal returns (bytes memory) {
        return settlement.settleBatch("batch", ITEM_GAS, items);
    }

    /// @notice Pays `units` of `token` directly.
    function payFor(uint256 units) internal {
        usdc.mint(address(token), units * PRICE);
    }

    function mintOne(address to, uint32 quantity, bytes32 paymentKey) internal returns (uint8) {
        vm.prank(MINTER);
        return uint8(token.batchMint(list(to), list(quantity), list(paymentKey))[0]);
    }

    function list(address a) internal pure returns (address[] memory l) {
        l = new address[](1);
        l[0] = a;
    }

    function list(address a, address b) internal pure returns (address[] memory l) {
        l = new address[](2);
        (l[0], l[1]) = (a, b);
    }

    function list(uint32 a) internal pure returns (uint32[] memory l) {
        l = new uint32[](1);
        l[0] = a;
    }

    function list(uint32 a, uint32 b) internal pure returns (uint32[] memory l) {
        l = new uint32[](2);
        (l[0], l[1]) = (a, b);
    }

    function list(bytes32 a) internal pure returns (bytes32[] memory l) {
        l = new bytes32[](1);
        l[0] = a;
    }

    function list(bytes32 a, bytes32 b) internal pure returns (bytes32[] memory l) {
        l = new bytes32[](2);
        (l[0], l[1]) = (a, b);
    }

    // Expectations

    function same(uint256 actual, uint256 expected, string memory what) internal pure {
        require(actual == expected, string.concat(what, ": ", toString(actual), " and not ", toString(expected)));
    }

    function same(bytes memory actual, bytes memory expected, string memory what) internal pure {
        require(
            keccak256(actual) == keccak256(expected),
            string.concat(what, ": ", toHex(actual), " and not ", toHex(expected))
        );
    }

    function same(address actual, address expected, string memory what) internal pure {
        require(actual == expected, what);
    }

    function same(string memory actual, string memory expected, string memory what) internal pure {
        require(keccak256(bytes(actual)) == keccak256(bytes(expected)), what);
    }

    function toString(uint256 value) internal pure returns (string memory) {
        if (value < 10) return string(abi.encodePacked(bytes1(uint8(48 + value))));
        return string.concat(toString(value / 10), toString(value % 10));
    }

    function toHex(bytes memory data) internal pure returns (string memory text) {
        bytes memory digits = "0123456789abcdef";
        bytes memory out = new bytes(2 * data.length);
        for (uint256 i = 0; i < data.length; ++i) {
            out[2 * i] = digits[uint8(data[i]) >> 4];
            out[2 * i + 1] = digits[uint8(data[i]) & 15];
        }
        return string(out);
    }
}
