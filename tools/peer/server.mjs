// The system with which Paymint is compared: a stock x402 v1 shop, x402-express with the facilitator of `x402`, over
// loopback HTTP in one process. README.md lists what is tuned, and why nothing else is.
//
//   RPC_URL, FACILITATOR_KEY, PAY_TO   in the environment
//   {"port": 12345}                    one line on standard output once it listens
//   POST /mint                         $0.01; 202 once the transfer is in a block
import express from "express";
import { createWalletClient, http, publicActions } from "viem";
import { nonceManager, privateKeyToAccount } from "viem/accounts";
import { baseSepolia } from "viem/chains";
import { settle, verify } from "x402/facilitator";
import { paymentMiddleware } from "x402-express";

/** viem asks once a second by default; a settlement would wait for that, not for the chain. */
const RECEIPT_POLL_MS = 20;

const { RPC_URL, FACILITATOR_KEY, PAY_TO } = process.env;
for (const [name, value] of Object.entries({ RPC_URL, FACILITATOR_KEY, PAY_TO })) {
    if (!value) {
        console.error(`${name} is not set`);
        process.exit(1);
    }
}

const wallet = createWalletClient({
    // Without the nonce manager, concurrent settlements of the one key take the same nonce and most of them fail.
    account: privateKeyToAccount(FACILITATOR_KEY, { nonceManager }),
    chain: baseSepolia,
    transport: http(RPC_URL),
    pollingInterval: RECEIPT_POLL_MS,
}).extend(publicActions);

// Errors that x402 throws because a node refused something become an answer and a log line.
const answered = (act, otherwise) => async (request, response) => {
    const { paymentPayload, paymentRequirements } = request.body;
    try {
        response.json(await act(wallet, paymentPayload, paymentRequirements));
    } catch (error) {
        console.error(error.details ?? error.shortMessage ?? error.message);
        response.json({ ...otherwise, payer: paymentPayload.payload.authorization.from });
    }
};
const facilitator = express();
facilitator.use(express.json());
facilitator.post("/verify", answered(verify, { isValid: false, invalidReason: "unexpected_verify_error" }));
facilitator.post(
    "/settle",
    answered(settle, { success: false, errorReason: "unexpected_settle_error", transaction: "", network: "base-sepolia" }),
);

const shop = express();
const listen = (application) =>
    new Promise((resolve) => {
        const server = application.listen(0, "127.0.0.1", () => resolve(server.address().port));
    });
const url = `http://127.0.0.1:${await listen(facilitator)}`;
shop.use(paymentMiddleware(PAY_TO, { "POST /mint": { price: "$0.01", network: "base-sepolia" } }, { url }));
shop.post("/mint", (_request, response) => response.status(202).json({ status: "settled" }));
console.log(JSON.stringify({ port: await listen(shop) }));
