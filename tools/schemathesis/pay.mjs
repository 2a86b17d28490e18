// Buys with the stock x402 v2 client, and prints {id, header}: the order, and the PAYMENT-SIGNATURE that paid for it.
import { x402Client, wrapFetchWithPayment } from "@x402/fetch";
import { ExactEvmScheme } from "@x402/evm";
import { privateKeyToAccount } from "viem/accounts";

const [url, privateKey, quantity] = process.argv.slice(2);
let header = null;
const recording = (input, init) => {
    const request = new Request(input, init);
    header = request.headers.get("payment-signature") ?? header;
    return fetch(request);
};
const client = new x402Client().register("eip155:*", new ExactEvmScheme(privateKeyToAccount(privateKey)));
const body = JSON.stringify({ quantity: Number(quantity) });
const response = await wrapFetchWithPayment(recording, client)(url, { method: "POST", body });
if (response.status !== 202) throw new Error(`${url} answered ${response.status}: ${await response.text()}`);
console.log(JSON.stringify({ id: (await response.json()).paymentQueueId, header }));
