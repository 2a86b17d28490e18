// Shared by both buyers: the arguments, the request, and the line with the result.

/** If this is set, a line {postedAt} (milliseconds of the epoch) is printed before the POST. */
const announce = process.env.BUY_ANNOUNCE === "1";

/** Reads `<url> <private key> <quantity>`; ends the process with a sentence if one is missing or malformed. */
export function parseArguments(script) {
    const [url, privateKey, quantity] = process.argv.slice(2);
    const usage = `usage: node ${script} <url> <private key, 0x and 64 hex digits> <quantity>`;
    if (!URL.canParse(url ?? "")) stop(`the first argument is no URL; ${usage}`);
    if (!/^0x[0-9a-fA-F]{64}$/.test(privateKey ?? "")) stop(`the second argument is no private key; ${usage}`);
    if (!/^[1-9][0-9]*$/.test(quantity ?? "")) stop(`the third argument is no quantity; ${usage}`);
    return { url, privateKey, quantity: Number(quantity) };
}

/**
 * Posts the order with a fetch that pays, and prints {status, body, headers} as one line on standard output.
 * Exit code 0 means 202. Anything else is exit code 1 and one sentence on standard error; nothing was paid
 * unless the printed status says so.
 */
export async function buy(payingFetch, { url, quantity }) {
    let response, text;
    if (announce) console.log(JSON.stringify({ postedAt: Date.now() }));
    try {
        response = await payingFetch(url, {
            method: "POST",
            headers: { "content-type": "application/json" },
            body: JSON.stringify({ quantity }),
            signal: AbortSignal.timeout(60_000), // longer than any answer the server may give; a hung run helps nobody
        });
        text = await response.text();
    } catch (error) {
        stop(`the purchase at ${url} failed: ${error.message}${error.cause ? ` (${error.cause.message || error.cause.code})` : ""}`);
    }
    const wanted = ["location", "content-type", "retry-after", "payment-required", "payment-response", "x-payment-response"];
    const headers = Object.fromEntries(wanted.flatMap((name) => (response.headers.has(name) ? [[name, response.headers.get(name)]] : [])));
    console.log(JSON.stringify({ status: response.status, body: parsed(text), headers }));
    if (response.status !== 202) stop(`the purchase at ${url} was answered with ${response.status} instead of 202.`);
}

function parsed(text) {
    try {
        return JSON.parse(text);
    } catch {
        return text;
    }
}

function stop(sentence) {
    console.error(sentence);
    process.exit(1);
}
