// Buys with the stock x402 v1 client, unmodified and with its default limits: see ../README.md.
// A v1 signer belongs to one named network. The local chain has the id of Base Sepolia (84532).
import { createSigner, wrapFetchWithPayment } from "x402-fetch";
import { buy, parseArguments } from "./purchase.mjs";

const order = parseArguments("buy-v1.mjs");
const signer = await createSigner("base-sepolia", order.privateKey);
await buy(wrapFetchWithPayment(fetch, signer), order);
