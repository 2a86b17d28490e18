// Mistakes that the tests have to notice, for contracts/mutate. `from` occurs exactly once in src/`file`; `tests` is a
// pattern of the test files that run first; `short` marks one of each kind.
"use strict";

const SETTLE = "{Settle,SettleGas,Signatures}";
const LONG = "{Signatures,SettleGas}";
const DELIVERY = "{Delivery,Earning}";
const AROUND = "Around";
const POWERS = "{Powers,Roles}";
const ROLES = "{Roles,Powers}";
const DEPLOY = "{Deploy,DeployAddress,DeployHostile}";
const ADDRESS = "DeployAddress";
const DEPLOY_GAS = "{DeployGas,Deploy}";
const NAMES = "Names";
const HUB = "Hub";

const group = (file, tests, list) => list.map((mutation) => ({ file, tests, ...mutation }));

/// Lets the callers for which `condition` holds do what only an operator may.
const mayCall = (name, call, condition) => ({
  name,
  from: `function ${call} external guarded onlyOperator returns (bytes memory results) {`,
  to: `function ${call} external guarded returns (bytes memory results) {
        if (!factory.isOperator(msg.sender) && !(${condition})) revert NotOperator(msg.sender);`,
});
const CREDIT = "credit(Credit[] calldata credits)";
const GIVE_BACK = "giveBack(GiveBack[] calldata returns_)";

const settling = [
  ...group("Settling.sol", SETTLE, [
    { name: "settle: the stop is ignored", from: "if (factory.settleStopped()) {", to: "if (false) {" },
    { name: "settle: the gas of an item is not checked", short: true, from: "if (gasleft() < need) break;", to: "" },
    { name: "settle: 63/64 is forgotten", from: "run.callGas + run.callGas / 63 + RESERVE_GAS", to: "run.callGas + RESERVE_GAS" },
    { name: "settle: no gas is kept back", from: "run.callGas + run.callGas / 63 + RESERVE_GAS", to: "run.callGas + run.callGas / 63" },
    { name: "settle: an item without its gas cap", from: "call(callGas, mload(add(run, 0x20)), 0, data", to: "call(gas(), mload(add(run, 0x20)), 0, data" },
    { name: "settle: a huge gasPerItem is not clamped", from: "gasPerItem > type(uint64).max ? type(uint64).max : gasPerItem", to: "gasPerItem" },
    { name: "settle: the key is not looked at", short: true, from: "if (_records[key] != 0) return KEY_KNOWN;", to: "" },
    {
      name: "settle: the cap is tested before the key",
      from: "if (_records[key] != 0) return KEY_KNOWN;",
      to: "if (run.taken + units > run.maxUnits) return SOLD_OUT;\n        if (_records[key] != 0) return KEY_KNOWN;",
    },
    { name: "settle: the cap is not tested", from: "if (run.taken + units > run.maxUnits) return SOLD_OUT;", to: "" },
    { name: "settle: the cap is one unit less", from: "if (run.taken + units > run.maxUnits) return SOLD_OUT;", to: "if (run.taken + units >= run.maxUnits) return SOLD_OUT;" },
    { name: "settle: open units do not count against the cap", from: "run.taken = uint256(_unitsMinted) + _unitsOpen;", to: "run.taken = _unitsMinted;" },
    { name: "settle: minted units do not count against the cap", from: "run.taken = uint256(_unitsMinted) + _unitsOpen;", to: "run.taken = _unitsOpen;" },
    {
      name: "settle: the record is written before the payment, and kept",
      short: true,
      from: "uint256 code = _pay(run, item);",
      to: "_records[key] = _record(payer, units, PAID);\n        uint256 code = _pay(run, item);",
    },
    { name: "settle: a payment that failed is recorded", from: "if (code != DONE) return code;", to: "" },
    { name: "settle: the growth of the balance is not looked at", from: "if (grown < units * run.price)", to: "if (false)" },
    { name: "settle: the growth of the balance is compared with the units", from: "if (grown < units * run.price)", to: "if (grown < units)" },
    { name: "settle: open units are not counted", from: "_unitsOpen += uint64(units);", to: "" },
    { name: "settle: open units are kept in 32 bits", tests: "Mutants", from: "_unitsOpen += uint64(units);", to: "_unitsOpen = uint32(_unitsOpen + units);" },
    { name: "settle: no whole number of units is taken", from: "units == 0 || units * run.price != value ||", to: "units == 0 ||" },
    { name: "settle: more units than a record can hold", from: "units > type(uint32).max", to: "units > type(uint64).max" },
    { name: "settle: no payer is needed", from: "if (payer == address(0) || payer == address(this)) return IMPOSSIBLE;", to: "if (payer == address(this)) return IMPOSSIBLE;" },
    { name: "settle: the token can be its own payer", from: "if (payer == address(0) || payer == address(this)) return IMPOSSIBLE;", to: "if (payer == address(0)) return IMPOSSIBLE;" },
    { name: "settle: the record belongs to the caller", from: "_records[key] = _record(payer, units, PAID);", to: "_records[key] = _record(msg.sender, units, PAID);" },
    { name: "settle: any number of items", from: "if (count > MAX_ITEMS) revert TooManyItems(count);", to: "" },
    { name: "settle: a part of an item is left out", from: "count == 0 || items.length % ITEM_LENGTH != 0", to: "count == 0" },
    { name: "settle: no items are taken", from: "count == 0 || items.length % ITEM_LENGTH != 0", to: "items.length % ITEM_LENGTH != 0" },
    { name: "settle: what is not attempted is reported as paid", from: "_filled(count, NOT_ATTEMPTED)", to: "_filled(count, DONE)" },
    { name: "settle: the payment goes to another payee", from: "mstore(add(data, 0x24), address())", to: "mstore(add(data, 0x24), caller())" },
    {
      name: "settle: selector from calldata, short item",
      tests: "Mutants",
      from: "selector := 0xe3ee160e",
      to: `selector := 0xe3ee160e
                if shr(32, mload(add(data, 0x64))) { selector := mload(add(data, 0x64)) }`,
    },
    { name: "settle: the parity stays in s", from: "mstore(add(data, 0x104), shr(1, shl(1, vs)))", to: "mstore(add(data, 0x104), vs)" },
  ]),
  ...group("Settling.sol", LONG, [
    {
      name: "settle: selector from calldata, long item",
      tests: "Mutants",
      from: "selector := 0xcf092995",
      to: `selector := 0xcf092995
                    if shr(224, r) {
                        selector := shr(224, r)
                        callGas := and(callGas, 0xffffffff)
                    }`,
    },
    { name: "settle: the receive flag is ignored", from: "let received := shr(39, validAfter)", to: "let received := 0" },
    { name: "settle: the receive flag is ignored in a long item", from: "if received { selector := 0x88b7ab63 }", to: "" },
    { name: "settle: the receive flag stays in validAfter", from: "and(validAfter, 0x7fffffffff)", to: "validAfter" },
    { name: "settle: signatures of any length", from: "gt(length, MAX_SIGNATURE_LENGTH)", to: "0" },
    { name: "settle: the pointer is not checked", from: "gt(add(offset, length), mload(add(run, 0x60)))", to: "0" },
    { name: "settle: the pointer's length is not checked", from: "gt(add(offset, length), mload(add(run, 0x60)))", to: "gt(offset, mload(add(run, 0x60)))" },
    {
      name: "settle: the gas of a long item is not checked",
      from: "if lt(gas(), add(add(callGas, div(callGas, 63)), RESERVE_GAS)) { code := NOT_ATTEMPTED }",
      to: "",
    },
    { name: "settle: 63/64 of a long item is forgotten", from: "add(add(callGas, div(callGas, 63)), RESERVE_GAS)", to: "add(callGas, RESERVE_GAS)" },
    { name: "settle: a long item takes gasPerItem", from: "callGas := shr(192, r)", to: "" },
  ]),
];

const records = group("Records.sol", "{Settle,Delivery,Around,Earning,Deploy}", [
  { name: "the lock is never set", short: true, tests: "{SettleGas,Audit,Settle}", from: "_entered = true;", to: "_entered = false;" },
  { name: "the lock is never released", from: "_entered = false;", to: "" },
  { name: "the implementation is a token", from: "if (address(this) == _implementation) revert NotAToken();", to: "" },
  { name: "the key leaves out the asset", tests: "Earning", from: "mstore(add(m, 0x20), asset_)", to: "mstore(add(m, 0x20), 0)" },
  { name: "the key leaves out the payer", from: "mstore(add(m, 0x40), payer)", to: "mstore(add(m, 0x40), 0)" },
  { name: "the key leaves out the nonce", from: "mstore(add(m, 0x60), nonce)", to: "mstore(add(m, 0x60), 0)" },
  { name: "the key changes with the id of the chain", from: "uint256 chainId = _chainId;", to: "uint256 chainId = block.chainid;" },
  { name: "a record leaves out its time", from: "| block.timestamp << PAID_AT_SHIFT | state;", to: "| state;" },
  { name: "surplus: an owed fee counts", from: "- _withdrawn + _feeOwed;", to: "- _withdrawn;" },
  { name: "surplus: open units count", from: "(uint256(_unitsMinted) + _unitsOpen) * price()", to: "uint256(_unitsMinted) * price()" },
  { name: "surplus: minted units count", from: "(uint256(_unitsMinted) + _unitsOpen) * price()", to: "uint256(_unitsOpen) * price()" },
  { name: "surplus: what was withdrawn is owed again", from: "- _withdrawn + _feeOwed;", to: "+ _feeOwed;" },
  { name: "surplus: a loss breaks it", from: "return held > owed ? held - owed : 0;", to: "return held - owed;" },
  { name: "a transfer that says no counts", tests: "{SettleGas,Earning,Around}", from: "ok := and(ok, or(silent, eq(mload(0), 1)))", to: "" },
  { name: "a transfer by an asset without code counts", tests: "Earning", from: "gt(extcodesize(asset_), 0)", to: "1" },
  { name: "a refused transfer counts", from: "ok := and(ok, or(silent, eq(mload(0), 1)))", to: "ok := 1" },
]);

const delivering = group("MintToken.sol", DELIVERY, [
  { name: "batchMint: a stop that stops mints", from: "uint256 unit_ = unit();", to: "if (factory.settleStopped()) return results;\n        uint256 unit_ = unit();" },
  { name: "batchMint: to the caller", from: "_mint(address(uint160(record >> PAYER_SHIFT))", to: "_mint(msg.sender" },
  { name: "batchMint: a refunded key can be minted", short: true, from: "if (state != PAID) {", to: "if (state != PAID && state != REFUNDED) {" },
  { name: "batchMint: a minted key can be minted", from: "if (state != PAID) {", to: "if (state != PAID && state != MINTED) {" },
  { name: "batchMint: a key that was given back can be minted", from: "if (state != PAID) {", to: "if (state != PAID && state != GIVEN_BACK) {" },
  { name: "batchMint: the record stays", from: "_records[key] = record + (MINTED - PAID);", to: "" },
  { name: "batchMint: minted units are kept in 32 bits", tests: "Mutants", from: "_unitsMinted += uint64(sum);", to: "_unitsMinted = uint32(_unitsMinted + sum);" },
  { name: "batchMint: minted units stay open", from: "_unitsOpen -= uint64(sum);", to: "" },
  { name: "batchMint: an operator is needed", tests: POWERS, from: "uint256 unit_ = unit();", to: "if (!factory.isOperator(msg.sender)) revert NotOperator(msg.sender);\n        uint256 unit_ = unit();" },
  { name: "refund: a stop that stops refunds", from: "uint256 price_ = price();\n        results = new bytes(keys.length);", to: "uint256 price_ = price();\n        results = new bytes(keys.length);\n        if (factory.settleStopped()) return results;" },
  { name: "refund: the record stays", short: true, from: "_records[key] = record + (REFUNDED - PAID);", to: "" },
  { name: "refund: a minted key can be refunded", from: "if (state != PAID) return _ended(state);", to: "if (state != PAID && state != MINTED) return _ended(state);" },
  { name: "refund: a refused transfer closes the record", from: "            _records[key] = record;\n", to: "" },
  { name: "refund: the units stay open", from: "_unitsOpen -= uint64(units);", to: "" },
  { name: "refund: to the caller", from: "if (!_tryTransfer(payer, amount)) {", to: "if (!_tryTransfer(msg.sender, amount)) {" },
  { name: "refund: the payer need not wait", short: true, from: "(msg.sender != payer || !due)", to: "(msg.sender != payer)" },
  { name: "refund: a second early", from: "bool due = block.timestamp >=", to: "bool due = block.timestamp + 1 >=" },
  { name: "refund: a second late", from: "bool due = block.timestamp >=", to: "bool due = block.timestamp >" },
  { name: "refund: anybody after the time", from: "(msg.sender != payer || !due)", to: "(!due)" },
  { name: "refund: an operator has to wait", from: "if (!operator && (msg.sender", to: "if (operator ? !due : (msg.sender" },
  { name: "refund: a creator may", tests: POWERS, from: "if (!operator &&", to: "if (!operator && msg.sender != creator() &&" },
  { name: "refund: an owner may", tests: POWERS, from: "if (!operator &&", to: "if (!operator && msg.sender != factory.owner() &&" },
  { name: "refund: a guardian may", tests: POWERS, from: "if (!operator &&", to: "if (!operator && msg.sender != factory.guardian() &&" },
  { name: "refund: a treasury may", tests: POWERS, from: "if (!operator &&", to: "if (!operator && msg.sender != factory.treasury() &&" },
]);

const around = group("MintToken.sol", AROUND, [
  { name: "credit and give-back: anyone may", short: true, tests: POWERS, from: "if (!factory.isOperator(msg.sender)) revert NotOperator(msg.sender);", to: "" },
  ...["owner", "guardian", "treasury"].flatMap((role) => [
    { tests: POWERS, ...mayCall(`credit: the ${role} may`, CREDIT, `msg.sender == factory.${role}()`) },
    { tests: POWERS, ...mayCall(`give-back: the ${role} may`, GIVE_BACK, `msg.sender == factory.${role}()`) },
  ]),
  { tests: POWERS, ...mayCall("credit: the creator may", CREDIT, "msg.sender == creator()") },
  { tests: POWERS, ...mayCall("give-back: the creator may", GIVE_BACK, "msg.sender == creator()") },
  {
    name: "credit: authorizationState is not asked",
    short: true,
    from: "(code, key) = _claim(c.payer, c.nonce, c.units * price_ + c.change);",
    to: `(code, key) = _claim(c.payer, c.nonce, c.units * price_ + c.change);
        if (code == 5) code = c.units * price_ + c.change > surplus() ? 7 : DONE;`,
  },
  {
    name: "give-back: authorizationState is not asked",
    from: "(code, key) = _claim(g.payer, g.nonce, g.amount);",
    to: `(code, key) = _claim(g.payer, g.nonce, g.amount);
        if (code == 5) code = g.amount > surplus() ? 7 : DONE;`,
  },
  {
    name: "credit: beyond the surplus",
    short: true,
    from: "(code, key) = _claim(c.payer, c.nonce, c.units * price_ + c.change);",
    to: "(code, key) = _claim(c.payer, c.nonce, c.units * price_ + c.change);\n        if (code == 7) code = DONE;",
  },
  {
    name: "give-back: beyond the surplus",
    from: "(code, key) = _claim(g.payer, g.nonce, g.amount);",
    to: "(code, key) = _claim(g.payer, g.nonce, g.amount);\n        if (code == 7) code = DONE;",
  },
  { name: "credit: the change is not counted", from: "c.units * price_ + c.change)", to: "c.units * price_)" },
  { name: "credit: only the change is counted", from: "c.units * price_ + c.change)", to: "c.change)" },
  { name: "credit and give-back: a known key", from: "if (_records[key] != 0) return (KEY_KNOWN, key);", to: "" },
  { name: "credit and give-back: the surplus to the last unit is refused", from: "if (amount > surplus()) return (7, key);", to: "if (amount >= surplus()) return (7, key);" },
  { name: "credit and give-back: no payer is needed", from: "if (payer == address(0) || payer == address(this)) return (IMPOSSIBLE, key);", to: "" },
  { name: "credit: no record", from: "_records[key] = _record(c.payer, c.units, PAID);", to: "" },
  { name: "give-back: twice for a key", from: "_records[key] = _record(g.payer, 0, GIVEN_BACK);", to: "" },
  { name: "give-back: the key can be minted", from: "_record(g.payer, 0, GIVEN_BACK)", to: "_record(g.payer, 1, PAID)" },
  { name: "credit: above the cap", from: "if (uint256(_unitsMinted) + _unitsOpen + c.units > cap) return SOLD_OUT;", to: "" },
  { name: "credit: open units do not count against the cap", from: "uint256(_unitsMinted) + _unitsOpen + c.units > cap", to: "uint256(_unitsMinted) + c.units > cap" },
  { name: "credit: minted units do not count against the cap", from: "uint256(_unitsMinted) + _unitsOpen + c.units > cap", to: "uint256(_unitsOpen) + c.units > cap" },
  { name: "credit: the units are not open", from: "_unitsOpen += c.units;", to: "" },
  { name: "credit: no units are needed", from: "if (c.units == 0) return IMPOSSIBLE;", to: "" },
  { name: "credit: the change is kept", from: "if (c.change != 0 && !_tryTransfer(c.payer, c.change)) return FAILED;", to: "" },
  { name: "credit: the change goes to the caller", from: "!_tryTransfer(c.payer, c.change)", to: "!_tryTransfer(msg.sender, c.change)" },
  { name: "credit: a refused change is ignored", from: "if (c.change != 0 && !_tryTransfer(c.payer, c.change)) return FAILED;", to: "if (c.change != 0) _tryTransfer(c.payer, c.change);" },
  { name: "give-back: to the caller", from: "if (!_tryTransfer(g.payer, g.amount)) return FAILED;", to: "if (!_tryTransfer(msg.sender, g.amount)) return FAILED;" },
  { name: "give-back: a refused transfer is ignored", from: "if (!_tryTransfer(g.payer, g.amount)) return FAILED;", to: "_tryTransfer(g.payer, g.amount);" },
  { name: "give-back: no amount is needed", from: "if (g.amount == 0) return IMPOSSIBLE;", to: "" },
]);

const earning = group("MintToken.sol", "{Earning,Delivery,Deploy}", [
  { name: "withdraw: a stop that stops withdrawals", from: "uint256 total = uint256(_unitsMinted) * price();", to: "if (factory.settleStopped()) return;\n        uint256 total = uint256(_unitsMinted) * price();" },
  { name: "withdraw: open units are earned", from: "uint256 total = uint256(_unitsMinted) * price();", to: "uint256 total = (uint256(_unitsMinted) + _unitsOpen) * price();" },
  { name: "withdraw: all that is held", from: "uint256 due = total - _withdrawn;", to: "uint256 due = _held();" },
  { name: "withdraw: twice", from: "_withdrawn = uint128(total);", to: "" },
  { name: "withdraw: the sum is kept in 64 bits", tests: "Mutants", short: true, from: "_withdrawn = uint128(total);", to: "_withdrawn = uint64(total);" },
  {
    name: "withdraw: books after the transfer",
    from: `        _withdrawn = uint128(total); // uint64 * uint64
        emit Withdrawn(creator(), to, due);
        if (!_tryTransfer(to, due)) revert TransferFailed(to, due);`,
    to: `        if (!_tryTransfer(to, due)) revert TransferFailed(to, due);
        _withdrawn = uint128(total);
        emit Withdrawn(creator(), to, due);`,
  },
  { name: "withdraw: a refused transfer is ignored", from: "if (!_tryTransfer(to, due)) revert TransferFailed(to, due);", to: "_tryTransfer(to, due);" },
  { name: "withdraw: the caller gets it", from: "_withdraw(creator());", to: "_withdraw(msg.sender);" },
  { name: "withdrawTo: anyone may", tests: POWERS, from: "if (msg.sender != creator()) revert NotCreator(msg.sender);", to: "" },
  { name: "withdrawTo: an owner may", tests: POWERS, from: "if (msg.sender != creator()) revert", to: "if (msg.sender != creator() && msg.sender != factory.owner()) revert" },
  { name: "withdrawTo: to nobody", from: "if (to == address(0) || to == address(this)) revert BadRecipient(to);\n        _withdraw(to);", to: "_withdraw(to);" },
  { name: "units can be sent to the token", from: "if (to == address(0) || to == address(this)) revert BadRecipient(to);\n    }", to: "if (to == address(0)) revert BadRecipient(to);\n    }" },
  { name: "units can be sent to nobody", from: "if (to == address(0) || to == address(this)) revert BadRecipient(to);\n    }", to: "if (to == address(this)) revert BadRecipient(to);\n    }" },
  { name: "Permit2 may move all units", from: "return false;", to: "return true;" },
]);

const OWED = `        _feeOwed = fee;
        emit FeeOwed(fee);
    }

    /// @notice Pays a fee that could not be handed on, to the treasury of today. Anyone may call it.
    function sweepFee() external guarded {
        uint256 fee = _feeOwed;
        if (fee == 0) return;
        _feeOwed = 0;
        address treasury = factory.treasury();`;

const fees = group("MintToken.sol", DEPLOY, [
  { name: "fee: anyone takes it", from: "if (msg.sender != address(factory)) revert NotFactory(msg.sender);", to: "" },
  { name: "fee: a missing one is owed", from: "if (held < fee) revert FeeMissing(fee, held);", to: "" },
  { name: "fee: a blacklisted treasury reverts", from: "_feeOwed = fee;\n", to: "revert TransferFailed(treasury, fee);\n" },
  { name: "fee: one that waits is not owed", from: "_feeOwed = fee;\n", to: "" },
  { name: "fee: swept twice", from: "_feeOwed = 0;", to: "" },
  { name: "fee: swept to the caller", from: "if (!_tryTransfer(treasury, fee)) revert TransferFailed(treasury, fee);", to: "if (!_tryTransfer(msg.sender, fee)) revert TransferFailed(treasury, fee);" },
  {
    name: "fee: swept to a treasury that is not in effect",
    tests: POWERS,
    from: "address treasury = factory.treasury();",
    to: "(address treasury,) = factory.pendingTreasury();\n        if (treasury == address(0)) treasury = factory.treasury();",
  },
  {
    name: "fee: swept to the treasury of the day of the creation",
    from: OWED,
    to: OWED.replace("_feeOwed = fee;", "_feeOwed = fee;\n        _owedTo = treasury;")
      .replace("address treasury = factory.treasury();", "address treasury = _owedTo;")
      .replace("    /// @notice Pays a fee", "    address private _owedTo;\n\n    /// @notice Pays a fee"),
  },
  { name: "fee: a refused sweep is forgotten", from: "if (!_tryTransfer(treasury, fee)) revert TransferFailed(treasury, fee);", to: "_tryTransfer(treasury, fee);" },
]);

const without = (field, value) => ({
  from: "salt = configHash(config);",
  to: `TokenConfig memory part = config;
        part.${field} = ${value};
        salt = keccak256(abi.encode(part));`,
});

const deploying = group("TokenFactory.sol", DEPLOY, [
  { name: "salt: without the fee", short: true, tests: ADDRESS, ...without("fee", "0") },
  { name: "salt: without the document", tests: ADDRESS, ...without("metadataHash", "0") },
  { name: "salt: without the salt", tests: ADDRESS, ...without("salt", "0") },
  { name: "salt: without the price", tests: ADDRESS, ...without("price", "0") },
  { name: "deploy: money is always pulled", short: true, from: "if (held < fee) {", to: "if (true) {" },
  { name: "deploy: more than nothing is enough", from: "if (held < fee) {", to: "if (held == 0) {" },
  { name: "deploy: an unpaid one is not told from a failed payment", from: "if (held < fee) {", to: "if (held < fee && (payment.payer != address(0) || payment.signature.length != 0)) {" },
  {
    name: "deploy: a creation without money",
    from: "if (fee != 0) MintToken(token).takeFee(treasury(), fee);",
    to: "if (fee != 0) try MintToken(token).takeFee(treasury(), fee) {} catch {}",
  },
  { name: "deploy: a failed payment is ignored", from: "if (!_pull(token, fee, payment)) revert PaymentFailed(token);", to: "_pull(token, fee, payment);" },
  { name: "deploy: the fee stays with the token", from: "if (fee != 0) MintToken(token).takeFee(treasury(), fee);", to: "" },
  { name: "deploy: the fee goes to the caller", from: "takeFee(treasury(), fee)", to: "takeFee(msg.sender, fee)" },
  { name: "deploy: what is there is not looked for", from: "if (token.code.length != 0) return (token, FOUND);", to: "" },
  { name: "deploy: a stop that stops deployments", from: "how = COMPLETED;", to: "if (settleStopped) revert PaymentFailed(token);\n        how = COMPLETED;" },
  { name: "deploy: paid here or not is not told", from: "how = DEPLOYED;", to: "" },
  { name: "deploy: the value is not the fee", from: "            token,\n            fee,\n", to: "            token,\n            fee - 1,\n" },
  { name: "deploy: the payment goes to the factory", from: "            token,\n            fee,\n", to: "            address(this),\n            fee,\n" },
  { name: "deploy: the gas of an item is not checked", tests: DEPLOY_GAS, from: "if (gasleft() < callGas + callGas / 63 + RESERVE_GAS) return NOT_ATTEMPTED;", to: "" },
  { name: "deploy: 63/64 is forgotten", tests: "Mutants", from: "callGas + callGas / 63 + RESERVE_GAS", to: "callGas + RESERVE_GAS" },
  { name: "deploy: an item without its gas cap", tests: DEPLOY_GAS, from: "ok := call(callGas, address(), 0, add(input, 0x20)", to: "ok := call(gas(), address(), 0, add(input, 0x20)" },
  { name: "deploy: a huge gasPerItem is not clamped", from: "gasPerItem > type(uint64).max ? type(uint64).max : gasPerItem", to: "gasPerItem" },
  { name: "deploy: the gas of the payment is not capped", tests: "{DeployHostile,DeployGas}", from: "payment.gas == 0 ? type(uint64).max : payment.gas", to: "type(uint64).max" },
  { name: "deploy: too little gas is called impossible", tests: DEPLOY_GAS, from: "return _isImpossible(reason) ? IMPOSSIBLE : UNFINISHED;", to: "return IMPOSSIBLE;" },
  { name: "deploy: a reason that is not known is called impossible", tests: "{DeployHostile,DeployGas}", from: "return _isImpossible(reason) ? IMPOSSIBLE : UNFINISHED;", to: "return reason == 0 ? UNFINISHED : IMPOSSIBLE;" },
  { name: "deploy: a fee that does not arrive is called impossible", from: "reason == PaymentFailed.selector || reason == MintToken.FeeMissing.selector", to: "reason == PaymentFailed.selector" },
  { name: "config: the hub may be creator", from: " || c == hub", to: "" },
  { name: "config: the asset may be creator", from: " || c == asset", to: "" },
  { name: "config: the factory may be creator", from: " || c == address(this)", to: "" },
  { name: "config: the implementation may be creator", from: " || c == implementation", to: "" },
  { name: "config: nobody may be creator", from: "c == address(0) || ", to: "" },
  { name: "config: a unit of zero", from: "if (config.unit == 0) revert ZeroUnit();", to: "" },
  { name: "config: no units", from: "if (config.maxUnits == 0) revert ZeroMaxUnits();", to: "" },
  { name: "config: a price of zero", from: "if (config.price == 0) revert ZeroPrice();", to: "" },
  { name: "config: a supply above a uint128", from: "if (supply > type(uint128).max) revert SupplyTooLarge(supply);", to: "" },
  { name: "config: names are not checked", from: "Names.check(config.name, config.symbol);", to: "" },
  { name: "factory: an asset without code", from: "if (asset_.code.length == 0) revert AssetHasNoCode(asset_);", to: "" },
]);

const names = group("Names.sol", NAMES, [
  { name: "names: 65 bytes", from: "MAX_NAME_LENGTH = 64", to: "MAX_NAME_LENGTH = 65" },
  { name: "names: 63 bytes", from: "MAX_NAME_LENGTH = 64", to: "MAX_NAME_LENGTH = 63" },
  { name: "names: a symbol of 17 bytes", from: "MAX_SYMBOL_LENGTH = 16", to: "MAX_SYMBOL_LENGTH = 17" },
  { name: "names: an empty name", from: "length == 0 || length > MAX_NAME_LENGTH", to: "length > MAX_NAME_LENGTH" },
  { name: "names: an empty symbol", from: "length == 0 || length > MAX_SYMBOL_LENGTH", to: "length > MAX_SYMBOL_LENGTH" },
  { name: "names: the UTF-8 of the name is not checked", short: true, from: "_checkText(bytes(name));", to: "" },
  { name: "names: the UTF-8 of the symbol is not checked", from: "_checkText(bytes(symbol));", to: "" },
  { name: "names: U+001F in other text", from: "first >= 0x20 && first < 0x7f", to: "first >= 0x1f && first < 0x7f" },
  { name: "names: U+007F in other text", from: "first >= 0x20 && first < 0x7f", to: "first >= 0x20 && first <= 0x7f" },
  { name: "names: U+007F in plain text", from: "(word | (word + ONES) | (word - SPACES))", to: "(word | (word - SPACES))" },
  { name: "names: control characters in plain text", from: "(word | (word + ONES) | (word - SPACES))", to: "(word | (word + ONES))" },
  { name: "names: every 33rd byte of plain text", from: "i += 32", to: "i += 33" },
  { name: "names: a two-byte control character", from: "if (first == 0xc2) low = 0xa0;", to: "" },
  { name: "names: a sequence that is longer than needed, two bytes", from: "first >= 0xc2 && first <= 0xdf", to: "first >= 0xc0 && first <= 0xdf" },
  { name: "names: a sequence that is longer than needed, three bytes", from: "if (first == 0xe0) low = 0xa0;", to: "" },
  { name: "names: a surrogate", from: "if (first == 0xed) high = 0x9f;", to: "" },
  { name: "names: a sequence that is longer than needed, four bytes", from: "if (first == 0xf0) low = 0x90;", to: "" },
  { name: "names: above U+10FFFF", from: "if (first == 0xf4) high = 0x8f;", to: "" },
  { name: "names: F5 starts a sequence", from: "first >= 0xf0 && first <= 0xf4", to: "first >= 0xf0 && first <= 0xf5" },
  { name: "names: a sequence that is cut off", from: "if (i + length > text.length) return 0;", to: "" },
  { name: "names: a third byte that continues nothing", from: "if (uint8(text[j]) & 0xc0 != 0x80) return 0;", to: "" },
]);

const onlyOwner = (call) => `function ${call} external onlyOwner {`;
const both = (call) => `function ${call} external onlyOwnerOrGuardian {`;
const guardianMay = (name, call) => ({ name, from: onlyOwner(call), to: both(call) });
const guardianMayNot = (name, call) => ({ name, from: both(call), to: onlyOwner(call) });
const TREASURY = "setTreasury(address next)";
const GUARDIAN = "setGuardian(address next)";

const roles = group("Roles.sol", ROLES, [
  { name: "roles: an operator without delay", short: true, from: "_operatorSince[account] = block.timestamp + DELAY;", to: "_operatorSince[account] = block.timestamp;" },
  { name: "roles: an operator before its time", from: "return since != 0 && block.timestamp >= since;\n    }\n\n    /// @notice The time from which", to: "return since != 0;\n    }\n\n    /// @notice The time from which" },
  { name: "roles: everybody is an operator", from: "return since != 0 && block.timestamp >= since;\n    }\n\n    /// @notice The time from which", to: "return block.timestamp >= since;\n    }\n\n    /// @notice The time from which" },
  { name: "roles: a second appointment starts the delay again", from: "if (_operatorSince[account] == 0) _operatorSince", to: "_operatorSince" },
  { name: "roles: a removed operator stays", from: "_operatorSince[account] = 0;", to: "" },
  { name: "roles: a delay of a second less", from: "DELAY = 48 hours", to: "DELAY = 48 hours - 1" },
  { name: "roles: a treasury that changes at once", from: "emit TreasurySet(next, _replace(_treasury, next));", to: "_replace(_treasury, next);\n        _treasury.since = uint40(block.timestamp);\n        emit TreasurySet(next, block.timestamp);" },
  { name: "roles: a guardian that changes at once", from: "emit GuardianSet(next, _replace(_guardian, next));", to: "_replace(_guardian, next);\n        _guardian.since = uint40(block.timestamp);\n        emit GuardianSet(next, block.timestamp);" },
  { name: "roles: an owner accepted at once", from: "if (block.timestamp < _owner.since) revert TooEarly(_owner.since);", to: "" },
  { name: "roles: anyone accepts the ownership", from: "msg.sender != _owner.next || _owner.since == 0", to: "_owner.since == 0" },
  { name: "roles: a cancelled offer can be accepted", from: "_offer(address(0), 0);", to: "emit OwnershipOffered(_owner.holder, address(0), 0);" },
  { name: "roles: an accepted offer stays", from: "_owner = Seat(msg.sender, 0, address(0));", to: "_owner.holder = msg.sender;" },
  { name: "roles: a cancelled treasury takes effect", from: "_treasury.since = 0;", to: "" },
  { name: "roles: a treasury in effect can be cancelled", from: "(address next, uint256 since) = _pending(_treasury);", to: "(address next, uint256 since) = (_treasury.next, _treasury.since);" },
  { name: "roles: nothing to cancel is no error", from: "if (since == 0) revert NothingPending();", to: "" },
  { name: "roles: no offer to cancel is no error", from: "if (_owner.since == 0) revert NothingPending();", to: "" },
  { name: "roles: a replacement forgets the one in effect", from: "address holder = _holder(seat);", to: "address holder = seat.holder;" },
  { name: "roles: a treasury of nobody", from: `${onlyOwner(TREASURY)}\n        if (next == address(0)) revert ZeroAddress();`, to: onlyOwner(TREASURY) },
  { name: "roles: an ownership offered to nobody", from: `${onlyOwner("offerOwnership(address next)")}\n        if (next == address(0)) revert ZeroAddress();`, to: onlyOwner("offerOwnership(address next)") },
  { name: "roles: an operator that is nobody", from: "if (account == address(0)) revert ZeroAddress();", to: "" },
  { name: "roles: a factory without an owner", from: "seats.owner == address(0) || ", to: "" },
  { name: "roles: a factory without a treasury", from: " || seats.treasury == address(0)", to: "" },
  { name: "roles: anyone appoints", from: "if (msg.sender != owner()) revert NotOwner(msg.sender);", to: "" },
  { name: "roles: anyone takes away", from: "if (msg.sender != owner() && msg.sender != guardian()) revert", to: "if (false) revert" },
  guardianMay("roles: a guardian that appoints", "appointOperator(address account)"),
  guardianMay("roles: a guardian that cancels its own removal", GUARDIAN),
  guardianMay("roles: a guardian that chooses the treasury", TREASURY),
  guardianMay("roles: a guardian that offers the ownership", "offerOwnership(address next)"),
  guardianMay("roles: a guardian that resumes", "resumeSettle()"),
  guardianMayNot("roles: a guardian that cannot remove an operator", "removeOperator(address account)"),
  guardianMayNot("roles: a guardian that cannot cancel a treasury", "cancelTreasury()"),
  guardianMayNot("roles: a guardian that cannot cancel an ownership", "cancelOwnership()"),
  guardianMayNot("roles: a guardian that cannot stop", "stopSettle()"),
  { name: "roles: the stop does nothing", from: "settleStopped = true;", to: "" },
  { name: "roles: the stop cannot be lifted", from: "settleStopped = false;", to: "" },
]);

const hub = group("Hub.sol", HUB, [
  { name: "hub: a segment without its gas cap", short: true, from: "call(callGas, target", to: "call(gas(), target" },
  { name: "hub: a call to nothing succeeds", from: "if extcodesize(target) {", to: "if 1 {" },
  { name: "hub: a reverted segment is reported as done", from: "code := shl(2, iszero(call(callGas, target, 0, data, input.length, 0, 0)))", to: "pop(call(callGas, target, 0, data, input.length, 0, 0))\n                        code := 0" },
  { name: "hub: a reverted segment reverts all", from: "code := shl(2, iszero(call(callGas, target, 0, data, input.length, 0, 0)))", to: "code := shl(2, iszero(call(callGas, target, 0, data, input.length, 0, 0)))\n                        if code { revert(0, 0) }" },
  { name: "hub: the gas of a segment is not checked", from: "if iszero(lt(gas(), add(add(callGas, div(callGas, 63)), RESERVE_GAS))) {", to: "if 1 {" },
  { name: "hub: 63/64 is forgotten", tests: "Mutants", from: "add(add(callGas, div(callGas, 63)), RESERVE_GAS)", to: "add(callGas, RESERVE_GAS)" },
]);

module.exports = [...settling, ...records, ...delivering, ...around, ...earning, ...fees, ...deploying, ...names, ...roles, ...hub];
