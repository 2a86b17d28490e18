// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MintToken} from "../src/MintToken.sol";
import {Names} from "../src/Names.sol";
import {TokenFactory} from "../src/TokenFactory.sol";
import {ApprovingPayer, WrongAsset} from "./support/Deployers.sol";
import {DeploySuite} from "./support/DeploySuite.sol";

/// Weaknesses that an audit found in an earlier form of the factory, each with the test of what holds now.
contract AuditFactoryTest is DeploySuite {
    function as_(address caller, bytes memory data) private {
        require(tries(caller, address(factory), data), "the call was refused");
    }

    function test_S26_a_stolen_guardian_key_delays_returns_by_four_days_at_most() public {
        bytes memory appoint = abi.encodeCall(factory.appointOperator, (BOB));
        bytes memory remove = abi.encodeCall(factory.removeOperator, (BOB));
        Auth memory a = auth("alice", address(token), 2 * PRICE);
        submitAround(a);
        as_(GUARDIAN, abi.encodeCall(factory.removeOperator, (OPERATOR)));
        as_(OWNER, abi.encodeCall(factory.setGuardian, (STRANGER)));
        uint256 last;
        for (uint256 hour = 0; hour < 48; ++hour) {
            vm.warp(NOW + hour * 1 hours);
            as_(OWNER, appoint);
            as_(GUARDIAN, remove);
            last = hour;
        }
        require(!factory.isOperator(BOB) && last == 47, "control: while it is the guardian it removes everybody");
        vm.warp(NOW + 48 hours);
        as_(OWNER, appoint);
        require(!tries(GUARDIAN, address(factory), remove), "it is no guardian any more");
        vm.warp(NOW + 96 hours);
        require(factory.isOperator(BOB), "an operator");
        MintToken.Credit[] memory credits = new MintToken.Credit[](1);
        credits[0] = MintToken.Credit(ALICE, a.nonce, 2, 0);
        vm.prank(BOB);
        same(token.credit(credits), hex"00", "what went around settle is recorded");
    }

    function test_the_stop_refuses_new_payments_and_nothing_else() public {
        Auth memory open = paid("alice", 3);
        Auth memory other = paid("bob", 2);
        Auth memory third = paid("carol", 1);
        Auth memory around = auth("dave", address(token), 2 * PRICE);
        Auth memory back = auth("erin", address(token), PRICE);
        submitAround(around);
        submitAround(back);
        as_(GUARDIAN, abi.encodeCall(factory.stopSettle, ()));

        Auth memory late = auth("frank", address(token), PRICE);
        same(settle(bytes.concat(item(late), item(open))), hex"0707", "stopped");
        require(!used(late), "not charged");
        same(mint(keyOf(open)), 0, "minted");
        same(refundBy(OPERATOR, keyOf(other)), 0, "refunded by an operator");
        vm.warp(NOW + 7 days);
        same(refundBy(third.from, keyOf(third)), 0, "refunded by its payer");
        same(credit(around, 2, 0), 0, "credited");
        same(giveBack(back, PRICE), 0, "given back");
        token.withdraw();
        same(usdc.balanceOf(CREATOR), 3 * PRICE, "withdrawn");
        same(mint(keyOf(around)), 0, "minted");
        vm.prank(CREATOR);
        token.withdrawTo(STRANGER);
        same(usdc.balanceOf(STRANGER), 2 * PRICE, "withdrawn elsewhere");
        same(deploy(order(config(), feeOf("grace", config()))), hex"00", "created");
        (, uint256 how) = factory.deployOne(config(), nothing());
        same(how, 1, "found");
        balanced();

        as_(OWNER, abi.encodeCall(factory.resumeSettle, ()));
        same(settle(item(late)), hex"00", "paid again");
    }

    function test_the_stop_holds_for_every_token_of_the_factory_and_for_no_other() public {
        MintToken second = free(CAP, "second");
        TokenFactory first = factory;
        factory = new TokenFactory(address(usdc), address(hub), seats());
        MintToken elsewhere = free(CAP, "elsewhere");
        vm.prank(GUARDIAN);
        first.stopSettle();
        token = second;
        same(settle(item(auth("alice", address(token), PRICE))), hex"07", "another token");
        token = elsewhere;
        same(settle(item(auth("bob", address(token), PRICE))), hex"00", "another factory");
    }

    function test_S26_a_stolen_owner_key_has_no_fee_and_no_other_owner_within_48_hours() public {
        usdc.blacklist(TREASURY);
        deploy(order(config(), feeOf("alice", config())));
        token = token_(config());
        usdc.unBlacklist(TREASURY);
        as_(OWNER, abi.encodeCall(factory.setTreasury, (STRANGER)));
        as_(OWNER, abi.encodeCall(factory.offerOwnership, (STRANGER)));
        vm.warp(NOW + 48 hours - 1);
        require(!tries(STRANGER, address(factory), abi.encodeCall(factory.acceptOwnership, ())), "no owner yet");
        uint256 state = vm.snapshotState();
        token.sweepFee();
        same(deploy(order(salted("new"), feeOf("bob", salted("new")))), hex"00", "a new fee");
        same(usdc.balanceOf(TREASURY), 2 * FEE, "both went to the treasury of before");
        same(usdc.balanceOf(STRANGER), 0, "nothing is taken");
        vm.revertToState(state);
        as_(GUARDIAN, abi.encodeCall(factory.cancelTreasury, ()));
        as_(GUARDIAN, abi.encodeCall(factory.cancelOwnership, ()));
        vm.warp(NOW + 365 days);
        require(!tries(STRANGER, address(factory), abi.encodeCall(factory.acceptOwnership, ())), "never an owner");
        token.sweepFee();
        same(usdc.balanceOf(TREASURY), FEE, "the guardian answered in time");
    }

    function test_S26_a_stolen_owner_key_is_held_off_by_the_guardian_for_four_days_at_most() public {
        bytes memory appoint = abi.encodeCall(factory.appointOperator, (BOB));
        bytes memory remove = abi.encodeCall(factory.removeOperator, (BOB));
        as_(OWNER, abi.encodeCall(factory.setGuardian, (STRANGER)));
        for (uint256 hour = 0; hour < 48; ++hour) {
            vm.warp(NOW + hour * 1 hours);
            as_(OWNER, appoint);
            as_(GUARDIAN, remove);
        }
        vm.warp(NOW + 48 hours);
        as_(OWNER, appoint);
        require(!tries(GUARDIAN, address(factory), remove), "the guardian is replaced");
        vm.warp(NOW + 96 hours - 1);
        require(!factory.isOperator(BOB), "not before");
        vm.warp(NOW + 96 hours);
        require(factory.isOperator(BOB), "then the thief has an operator");
    }

    function test_the_hub_is_refused_as_a_creator() public {
        TokenFactory.TokenConfig memory c = config();
        c.creator = address(hub);
        refused(c, abi.encodeWithSelector(TokenFactory.BadCreator.selector, address(hub)));
    }

    function test_an_empty_signature_of_a_wallet_that_approves_on_chain_pays() public {
        TokenFactory.TokenConfig memory c = config();
        ApprovingPayer wallet = new ApprovingPayer();
        Auth memory a = feeOf("alice", c);
        a.from = address(wallet);
        usdc.mint(a.from, START);
        TokenFactory.Payment memory p = payment(a);
        p.signature = "";
        same(deploy(abi.encode(c, p)), hex"04", "not approved yet");
        wallet.approve(digest(a, "Transfer"));
        same(deploy(abi.encode(c, p)), hex"00", "approved");
        whole(a, true);
        (p.payer, c.salt) = (address(0), "no payer");
        same(deploy(abi.encode(c, p)), hex"03", "no payer and no signature is no payment");
        p.signature = hex"01";
        same(deploy(abi.encode(c, p)), hex"04", "a signature without a payer is a payment that fails");
    }

    function test_a_name_that_is_no_text_is_refused() public {
        TokenFactory.TokenConfig memory c = config();
        c.name = string(bytes(hex"ff00fe"));
        refused(c, abi.encodeWithSelector(Names.BadText.selector, 0));
        c = config();
        c.symbol = string(bytes(hex"0a"));
        refused(c, abi.encodeWithSelector(Names.BadText.selector, 0));
    }

    // An item of 150,000 bytes: its copy costs about as much as a small deployment. The asset keeps the gas that reached
    // it, which tells what the item was given.
    function test_a_large_item_gets_all_of_its_gas_or_is_not_attempted() public {
        WrongAsset asset = new WrongAsset();
        factory = new TokenFactory(address(asset), address(hub), seats());
        TokenFactory.Payment memory p;
        (p.payer, p.signature) = (ALICE, new bytes(150_000));
        uint256 each = 600_000;
        bytes memory data = abi.encodeCall(factory.deploy, (each, list(abi.encode(config(), p))));
        uint256 state = vm.snapshotState();
        (bool done,) = address(factory).call{gas: 10_000_000}(data);
        uint256 full = asset.gasSeen();
        require(done && full != 0 && exists(predict(config())), "control: with ample gas it is created");
        vm.revertToState(state);
        uint256[2] memory met;
        for (uint256 gas_ = each; gas_ < 2 * each; gas_ += 5_003) {
            state = vm.snapshotState();
            bytes memory answer;
            (done, answer) = address(factory).call{gas: gas_}(data);
            if (done) {
                bool attempted = abi.decode(answer, (bytes))[0] != NOT_ATTEMPTED;
                same(asset.gasSeen(), attempted ? full : 0, "the gas of the item");
                ++met[attempted ? 1 : 0];
            }
            vm.revertToState(state);
        }
        require(met[0] != 0 && met[1] != 0, "both were met");
    }
}
