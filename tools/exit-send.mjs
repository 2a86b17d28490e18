// The second part of tools/exit: signs and sends the calls that it found. Needs the package viem. The node is not believed in
// what costs money: the fee has a limit, and what is signed is for the chain that was named at the start.
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

/// Sends the calls of the chosen kind. Sending again is always safe, because a record ends once. `node` has the functions with
/// which tools/exit asks the node.
export async function send(calls, options, node) {
  const { fail } = node;
  const key = fs.readFileSync(options["key-file"], "utf8").trim();
  if (!/^0x[0-9a-f]{64}$/i.test(key)) fail("the key file must hold 0x and 64 hex digits, and nothing else.");
  const folder = path.dirname(fileURLToPath(import.meta.url));
  const folders = [process.env.PAYMINT_TOOLS || path.join(folder, ".local"), folder];
  const found = folders.find((f) => fs.existsSync(path.join(f, "node_modules", "viem")));
  if (!found) fail("--send needs viem: run tools/fetch, or npm install viem beside this script.");
  const [utils, accounts] = ["viem/utils", "viem/accounts"].map(createRequire(path.join(found, "_")));
  const account = accounts.privateKeyToAccount(key);
  if (options.refund && account.address.toLowerCase() !== options.payer) fail("only the payer's own key can take the money back.");
  const sent = [];
  for (const { action, to, keys, data } of calls.filter((c) => c.action === (options.refund ? "refund" : "mint"))) {
    const signed = await account.signTransaction(await prepared({ from: account.address, to, data }, options, node));
    const transaction = utils.keccak256(signed);
    // A try that got no answer may have arrived, and then the next one is refused.
    const arrived = (error) => (/already ?(known|imported)|nonce too low/i.test(error.message) ? undefined : Promise.reject(error));
    await node.rpc("eth_sendRawTransaction", signed).catch(arrived);
    sent.push({ action, to, keys, transaction, block: await blockOf(transaction, node) });
  }
  return sent;
}

/// The transaction to sign. Fails if it could cost more than the limit.
async function prepared({ from, to, data }, { chainId, maxFee }, { rpc, number, quantity, fail, decimal }) {
  const estimate = quantity(await rpc("eth_estimateGas", { from, to, data }), "the gas of a transaction");
  const gas = (estimate * 5n) / 4n; // others may change what the call finds
  const nonce = number(await rpc("eth_getTransactionCount", from, "pending"), "the nonce of an account");
  const maxPriorityFeePerGas = quantity(await rpc("eth_maxPriorityFeePerGas"), "a fee");
  const block = await rpc("eth_getBlockByNumber", "latest", false);
  const maxFeePerGas = 2n * quantity(block?.baseFeePerGas, "the fee of a block") + maxPriorityFeePerGas;
  const [cost, most] = [gas * maxFeePerGas, maxFee].map((wei) => decimal(wei, 18n));
  if (gas * maxFeePerGas > maxFee) {
    fail(`as the node says it, a transaction may cost up to ${cost} ether, which is above --max-fee, ${most} ether; it was not sent.`);
  }
  return { type: "eip1559", chainId, nonce, to, data, gas, maxFeePerGas, maxPriorityFeePerGas };
}

/// The block that has the transaction, which is waited for.
async function blockOf(transaction, { rpc, number, pause, fail }) {
  for (let i = 0; i < 600; i++) {
    const receipt = await rpc("eth_getTransactionReceipt", transaction);
    if (receipt?.status === "0x1") return number(receipt.blockNumber, "a receipt's block");
    if (receipt) fail(`the transaction ${transaction} failed and changed nothing.`);
    await pause(300);
  }
  fail(`the transaction ${transaction} is in no block after three minutes; look for it before you run this again.`);
}
