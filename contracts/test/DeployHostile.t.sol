// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MintToken} from "../src/MintToken.sol";
import {Records} from "../src/Records.sol";
import {TokenFactory} from "../src/TokenFactory.sol";
import {
    ApprovingPayer,
    BurningPayer,
    CallingPayer,
    DelegatePayer,
    LoudPayer,
    OwnedPayer,
    RefusingAsset,
    WrongAsset
} from "./support/Deployers.sol";
import {DeploySuite} from "./support/DeploySuite.sol";

/// Payers, creators, treasuries and assets that do their worst.
contract DeployHostileTest is DeploySuite {
    // Payers with code

    function test_accounts_with_code_pay_deployments() public {
        TokenFactory.TokenConfig memory c = config();
        Auth memory a = feeOf("alice", c);
        a.from = address(new OwnedPayer(ALICE));
        usdc.mint(a.from, START);
        TokenFactory.Payment memory p = payment(a);
        p.signature = bytes.concat(p.signature, new bytes(600));
        same(deploy(abi.encode(c, p)), hex"00", "ERC-1271 with a long signature");
        whole(a, true);
        c.salt = "7702";
        a = feeOf("bob", c);
        vm.signAndAttachDelegation(address(new DelegatePayer()), a.key);
        same(deploy(order(c, a)), hex"00", "EIP-7702");
        same(BOB.code.length, 23, "bob's account delegates");
    }

    // Such a payer costs what its item may cost, and the item beside it is created.
    function test_F60_a_payer_that_burns_gas_or_floods_fails_alone_at_a_bounded_cost() public {
        TokenFactory.TokenConfig memory c = config();
        bytes memory good = order(salted("good"), feeOf("bob", salted("good")));
        Auth memory a = feeOf("alice", c);
        address[2] memory payers = [address(new BurningPayer()), address(new LoudPayer())];
        uint64[2] memory caps = [uint64(100_000), 0]; // of the payment; 0 leaves the item's
        for (uint256 i = 0; i < 4; ++i) {
            uint256 state = vm.snapshotState();
            a.from = payers[i / 2];
            usdc.mint(a.from, START);
            TokenFactory.Payment memory p = payment(a);
            p.gas = caps[i % 2];
            bytes memory bad = abi.encode(c, p);
            uint256 before = gasleft();
            same(deploy(bad, good), hex"0400", "alone");
            require(before - gasleft() < 290_000 + (p.gas == 0 ? EACH : p.gas), "the cost");
            require(!exists(a.to) && !used(a), "neither paid nor created");
            require(exists(predict(salted("good"))), "its neighbour is created");
            vm.revertToState(state);
        }
    }

    function test_F60_a_payers_code_cannot_change_anything_while_it_is_asked() public {
        TokenFactory.TokenConfig memory c = config();
        CallingPayer payer = new CallingPayer();
        Auth memory a = feeOf("alice", c);
        a.from = address(payer);
        usdc.mint(a.from, START);
        submitAround(feeOf("bob", salted("free to create")));
        payer.set(address(factory), abi.encodeCall(factory.predictToken, (c)));
        bytes memory one = order(c, a);
        uint256 state = vm.snapshotState();
        same(deploy(one), hex"00", "control: a call that only reads goes well");
        vm.revertToState(state);
        payer.set(address(factory), abi.encodeCall(factory.deployOne, (salted("free to create"), nothing())));
        same(deploy(one), hex"04", "a call that writes does not");
        require(!exists(a.to) && !exists(predict(salted("free to create"))), "nothing was created");
    }

    function test_twenty_items_with_bad_ones_among_them_create_all_good_ones() public {
        bytes[] memory items = new bytes[](20);
        address[] memory tokens = new address[](20);
        for (uint256 i = 0; i < 20; ++i) {
            TokenFactory.TokenConfig memory c = salted(bytes32(i));
            Auth memory a = feeOf(string.concat("payer", text(i)), c);
            tokens[i] = a.to;
            TokenFactory.Payment memory p = payment(a);
            if (i == 3) c.price = 0;
            if (i == 9) p.signature[10] ^= 0x01;
            if (i == 12) p = nothing();
            items[i] = i == 15 ? bytes("no item") : abi.encode(c, p);
        }
        same(factory.deploy(EACH, items), hex"0000000600000000000400000300000700000000", "four bad ones");
        same(usdc.balanceOf(TREASURY), 16 * uint256(FEE), "fees");
        for (uint256 i = 0; i < 20; ++i) {
            bool bad = i == 3 || i == 9 || i == 12 || i == 15;
            require(exists(tokens[i]) != bad, "tokens");
            same(usdc.balanceOf(account(string.concat("payer", text(i)))), bad ? START : START - FEE, "payers");
        }
    }

    // The treasury

    function test_a_fee_that_the_treasury_cannot_take_waits_for_it() public {
        usdc.blacklist(TREASURY);
        TokenFactory.TokenConfig memory c = config();
        Auth memory a = feeOf("alice", c);
        same(deploy(order(c, a)), hex"00", "paid and created");
        token = MintToken(a.to);
        same(token.feeOwed(), FEE, "the fee waits");
        same(token.surplus(), 0, "it is no surplus");
        same(giveBack(a, 1), 7, "an operator cannot return it");
        same(credit(a, 1, 0), 7, "nor sell units for it");
        vm.expectRevert(abi.encodeWithSelector(Records.TransferFailed.selector, TREASURY, FEE));
        token.sweepFee();
        same(token.feeOwed(), FEE, "it still waits");
        vm.prank(OWNER);
        factory.setTreasury(BOB);
        vm.warp(NOW + 48 hours);
        vm.prank(STRANGER);
        token.sweepFee();
        same(usdc.balanceOf(BOB), FEE, "anybody sweeps it to the treasury of that day");
        usdc.mint(a.to, FEE);
        token.sweepFee();
        same(usdc.balanceOf(BOB), FEE, "once");
        balanced();
    }

    function test_an_owed_fee_and_the_creators_proceeds_do_not_mix() public {
        usdc.blacklist(TREASURY);
        TokenFactory.TokenConfig memory c = config();
        deploy(order(c, feeOf("alice", c)));
        token = token_(c);
        Auth memory b = paid("bob", 3);
        balanced();
        same(mint(keyOf(b)), 0, "minted");
        token.withdraw();
        vm.prank(CREATOR);
        token.withdrawTo(STRANGER);
        same(usdc.balanceOf(CREATOR), 3 * PRICE, "the creator's");
        same(usdc.balanceOf(STRANGER), 0, "no more");
        same(usdc.balanceOf(address(token)), FEE, "the treasury's");
        usdc.unBlacklist(TREASURY);
        token.sweepFee();
        same(usdc.balanceOf(TREASURY), FEE, "swept");
        balanced();
    }

    function test_only_the_factory_hands_a_fee_on() public {
        TokenFactory.TokenConfig memory c = config();
        deploy(order(c, feeOf("alice", c)));
        token = token_(c);
        usdc.mint(address(token), 10 * uint256(FEE));
        address[6] memory callers = [OWNER, GUARDIAN, TREASURY, OPERATOR, CREATOR, address(hub)];
        for (uint256 i = 0; i < callers.length; ++i) {
            vm.prank(callers[i]);
            vm.expectRevert(abi.encodeWithSelector(MintToken.NotFactory.selector, callers[i]));
            token.takeFee(callers[i], 1);
        }
        same(deploy(unpaid(c)), hex"01", "and the factory does it once");
        same(usdc.balanceOf(TREASURY), FEE, "one fee");
    }

    function test_a_treasury_that_is_the_token_itself_leaves_the_fee_as_surplus() public {
        TokenFactory.TokenConfig memory c = config();
        require(tries(OWNER, address(factory), abi.encodeCall(factory.setTreasury, (predict(c)))), "named");
        vm.warp(NOW + 48 hours);
        same(deploy(order(c, feeOf("alice", c))), hex"00", "created all the same");
        same(token_(c).surplus(), FEE, "surplus");
    }

    // Creators

    function test_a_creator_with_code_is_paid_and_never_called() public {
        TokenFactory.TokenConfig memory c = config();
        c.creator = address(new BurningPayer());
        same(deploy(order(c, feeOf("alice", c))), hex"00", "created");
        token = token_(c);
        mint(keyOf(paid("bob", 1)));
        token.withdraw();
        same(usdc.balanceOf(c.creator), PRICE, "paid");
    }

    function test_a_blacklisted_creator_gets_the_proceeds_at_another_address() public {
        mint(keyOf(paid("bob", 1)));
        usdc.blacklist(CREATOR);
        vm.expectRevert(abi.encodeWithSelector(Records.TransferFailed.selector, CREATOR, PRICE));
        token.withdraw();
        vm.prank(CREATOR);
        token.withdrawTo(STRANGER);
        same(usdc.balanceOf(STRANGER), PRICE, "paid");
    }

    // The asset

    function test_an_asset_that_takes_payments_and_moves_nothing_creates_nothing() public {
        WrongAsset wrong = wrongAsset();
        wrong.becomeIdle();
        TokenFactory.TokenConfig memory c = config();
        same(deploy(signed(c)), hex"04", "no money, no token");
        require(!exists(predict(c)), "no token");
        vm.expectRevert(abi.encodeWithSelector(MintToken.FeeMissing.selector, FEE, 0));
        factory.deployOne(c, anyPayment());
    }

    function test_an_asset_that_denies_a_transfer_leaves_the_fee_owed() public {
        WrongAsset wrong = wrongAsset();
        wrong.lieAboutTransfers();
        TokenFactory.TokenConfig memory c = config();
        same(deploy(signed(c)), hex"00", "created");
        same(token_(c).feeOwed(), FEE, "owed");
    }

    function test_F50_while_the_asset_is_paused_nothing_is_paid_or_created() public {
        TokenFactory.TokenConfig memory c = config();
        Auth memory a = feeOf("alice", c);
        usdc.pause();
        same(deploy(order(c, a)), hex"04", "paused");
        whole(a, false);
        usdc.unpause();
        same(deploy(order(c, a)), hex"00", "later");
        whole(a, true);
    }

    function test_while_the_asset_refuses_to_answer_nothing_is_said_about_the_configuration() public {
        TokenFactory.TokenConfig memory c = config();
        Auth memory a = feeOf("alice", c);
        bytes memory order_ = order(c, a);
        bytes memory code = address(usdc).code;
        vm.etch(address(usdc), type(RefusingAsset).runtimeCode);
        same(deploy(order_), hex"07", "not done");
        vm.etch(address(usdc), code);
        same(deploy(order_), hex"00", "later");
        whole(a, true);
    }

    // Re-entry from inside the payment: the token is created by the inner call, so the outer one undoes both.
    function test_an_asset_that_creates_the_token_during_its_payment_leaves_one_fee_or_nothing() public {
        WrongAsset wrong = wrongAsset();
        TokenFactory.TokenConfig memory c = config();
        bytes[3] memory inner = [
            abi.encodeCall(factory.deployOne, (c, nothing())),
            abi.encodeCall(factory.deployOne, (c, anyPayment())),
            abi.encodeCall(factory.deploy, (EACH, list(unpaid(c))))
        ];
        for (uint256 i = 0; i < inner.length; ++i) {
            uint256 state = vm.snapshotState();
            wrong.callBack(address(factory), inner[i]);
            bytes memory results = factory.deploy(4 * EACH, list(signed(c)));
            require(results[0] != 0x06, "the configuration is possible");
            bool created = exists(predict(c));
            require((uint8(results[0]) <= 2) == created, "the result");
            same(wrong.balanceOf(TREASURY), created ? FEE : 0, "one fee or none");
            same(wrong.balanceOf(predict(c)), 0, "nothing is left over");
            wrong.callBack(address(0), "");
            same(deploy(signed(c)), created ? bytes(hex"01") : bytes(hex"00"), "without the inner call it works");
            same(wrong.balanceOf(TREASURY), FEE, "one fee");
            vm.revertToState(state);
        }
    }

    function test_F60_an_asset_that_calls_back_during_the_transfer_of_the_fee_gains_nothing() public {
        WrongAsset wrong = wrongAsset();
        TokenFactory.TokenConfig memory c = config();
        address made = predict(c);
        bytes[5] memory inner = [
            abi.encodeCall(MintToken.sweepFee, ()),
            abi.encodeCall(MintToken.withdraw, ()),
            abi.encodeCall(MintToken.takeFee, (address(wrong), 1)),
            abi.encodeCall(MintToken.batchMint, (new bytes32[](1))),
            abi.encodeCall(MintToken.refund, (new bytes32[](1)))
        ];
        for (uint256 i = 0; i < inner.length; ++i) {
            uint256 state = vm.snapshotState();
            wrong.mint(made, FEE); // so that the only call of the asset is the transfer
            wrong.callBack(made, inner[i]);
            same(deploy(unpaid(c)), hex"02", "created");
            same(wrong.calls(), 0, "the lock holds");
            same(wrong.balanceOf(TREASURY), FEE, "the fee");
            vm.revertToState(state);
        }
        wrong.mint(made, FEE);
        wrong.callBack(address(factory), abi.encodeCall(factory.deployOne, (c, anyPayment())));
        same(deploy(unpaid(c)), hex"02", "created");
        same(wrong.calls(), 1, "the inner call finds the token");
        same(wrong.balanceOf(TREASURY), FEE, "and pays nothing");
    }

    // Helpers

    function wrongAsset() private returns (WrongAsset wrong) {
        wrong = new WrongAsset();
        factory = new TokenFactory(address(wrong), address(hub), seats());
    }

    function anyPayment() private view returns (TokenFactory.Payment memory p) {
        p.payer = ALICE;
        p.signature = hex"01";
    }

    function signed(TokenFactory.TokenConfig memory c) private view returns (bytes memory) {
        return abi.encode(c, anyPayment());
    }
}
