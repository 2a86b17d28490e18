// Buys with the stock x402 v2 client, unmodified and with its default limits: see ../README.md.
import { x402Client, wrapFetchWithPayment } from "@x402/fetch";
import { ExactEvmScheme } from "@x402/evm";
import { privateKeyToAccount } from "viem/accounts";
import { buy, parseArguments } from "./purchase.mjs";

const order = parseArguments("buy-v2.mjs");
const client = new x402Client().register("eip155:*", new ExactEvmScheme(privateKeyToAccount(order.privateKey)));
await buy(wrapFetchWithPayment(fetch, client), order);
