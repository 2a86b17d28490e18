//! A good payment with a few of its values replaced: short inputs that reach deep, because most of the JSON is right.
//!
//! An edit is one line. The low four bits of its first byte name the place (`p a b c … o`), and the rest is the JSON
//! for that place.

/// Maximum number of edits of one payment: one for each place.
const EDITS_MAX: usize = 16;

/// The JSON of the payment after the edits.
pub(crate) fn edited(v1: bool, local: bool, edits: &[u8]) -> Vec<u8> {
    let signature = format!("\"0x{}\"", "1b".repeat(65));
    let nonce = format!("\"0x{}\"", "07".repeat(32));
    let (network, asset, name) = match (v1, local) {
        (true, true) => ("\"local\"", "", ""),
        (true, false) => ("\"base-sepolia\"", "", ""),
        (false, true) => ("\"eip155:31337\"", "\"0x5FbDB2315678afecb367f032d93F642f64180aa3\"", "USD Coin"),
        (false, false) => ("\"eip155:84532\"", "\"0x036CbD53842c5426634e7929541eC2318f3dCF7e\"", "USDC"),
    };
    let extra = format!("{{\"name\":\"{name}\",\"version\":\"2\"}}");
    let payee = "\"0x70997970C51812dc3A010C7d01b50e0d17dc79C8\"";
    let mut at: [&[u8]; 16] = [
        if v1 { b"1" } else { b"2" },
        b"\"exact\"",
        network.as_bytes(),
        asset.as_bytes(),
        payee.as_bytes(),
        b"\"10000\"",
        extra.as_bytes(),
        signature.as_bytes(),
        b"\"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC\"",
        payee.as_bytes(),
        b"\"10000\"",
        b"\"0\"",
        b"\"1800000300\"",
        nonce.as_bytes(),
        b"\"order_0123456789abcdef\"",
        b"",
    ];
    for edit in edits.split(|byte| *byte == b'\n').take(EDITS_MAX) {
        if let Some((place, value)) = edit.split_first() {
            at[usize::from(place & 15)] = value;
        }
    }
    let [
        version,
        scheme,
        network,
        asset,
        payee,
        amount,
        extra,
        signature,
        from,
        to,
        value,
        after,
        before,
        nonce,
        id,
        more,
    ] = at;
    let terms: &[&[u8]] = &[b"\"scheme\":", scheme, b",\"network\":", network];
    let accepted: &[&[u8]] =
        &[b",\"asset\":", asset, b",\"payTo\":", payee, b",\"amount\":", amount, b",\"extra\":", extra];
    let payload: &[&[u8]] = &[
        b",\"payload\":{\"signature\":",
        signature,
        b",\"authorization\":{\"from\":",
        from,
        b",\"to\":",
        to,
        b",\"value\":",
        value,
        b",\"validAfter\":",
        after,
        b",\"validBefore\":",
        before,
        b",\"nonce\":",
        nonce,
        b"}},\"extensions\":{\"payment-identifier\":{\"info\":{\"id\":",
        id,
        b"}}}",
        more,
        b"}",
    ];
    let head: &[&[u8]] = &[b"{\"x402Version\":", version];
    let text = if v1 {
        [head, &[b","], terms, payload].concat()
    } else {
        [head, &[b",\"accepted\":{"], terms, accepted, &[b"}"], payload].concat()
    };
    text.concat()
}
