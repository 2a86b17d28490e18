// Writes crates/x402/vectors/payment-identifier.json: the answers of the stock v2 client to an offer with the extension
// `payment-identifier`, without an application and in one that adds an id. The argument is the offer, a value of PAYMENT-REQUIRED:
//     node tools/vectors/payment-identifier.mjs <header value> > crates/x402/vectors/payment-identifier.json
// Every run draws new nonces. The key is the well-known third one of anvil.
import { x402Client } from "@x402/fetch";
import { ExactEvmScheme } from "@x402/evm";
import { decodePaymentRequiredHeader, encodePaymentSignatureHeader } from "@x402/core/http";
import { privateKeyToAccount } from "viem/accounts";

const now = 1_800_000_000;
Date.now = () => now * 1000; // the clock of every vector

const account = privateKeyToAccount("0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a");
const headerValue = process.argv[2];
const id = "order_0123456789abcdef";

/** The extension that an application registers to be charged once: it puts its id into the echo. */
const withId = {
    key: "payment-identifier",
    enrichPaymentPayload: async (payload) => {
        const extension = payload.extensions["payment-identifier"];
        const extensions = { ...payload.extensions, "payment-identifier": { ...extension, info: { ...extension.info, id } } };
        return { ...payload, extensions };
    },
};

async function pay(...extensions) {
    const client = new x402Client().register("eip155:*", new ExactEvmScheme(account));
    extensions.forEach((extension) => client.registerExtension(extension));
    return encodePaymentSignatureHeader(await client.createPaymentPayload(decodePaymentRequiredHeader(headerValue)));
}

const made = "node tools/vectors/payment-identifier.mjs, with @x402/fetch, core and evm 2.27.0";
const vectors = {
    made,
    now,
    "PAYMENT-REQUIRED": { headerValue },
    "stock client": { headerValue: await pay() },
    "app that adds an id": { headerValue: await pay(withId), id },
};
console.log(JSON.stringify(vectors, null, 2));
