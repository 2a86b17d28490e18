// Writes crates/domain/vectors/bound-nonce.json with viem alone, so that two implementations agree on the formula:
//     node tools/vectors/bound-nonce.mjs > crates/domain/vectors/bound-nonce.json
// The function is the one in docs/x402-wire.md, section 11, for clients.
import { concat, encodeAbiParameters, keccak256, slice, stringToHex } from "viem";

const type = "PaymintOrder(uint256 chainId,address token,uint256 quantity,bytes12 salt)";

function boundNonce({ chainId, token, quantity, salt }) {
    const types = ["bytes32", "uint256", "address", "uint256", "bytes12"].map((type) => ({ type }));
    const order = [keccak256(stringToHex(type)), BigInt(chainId), token, BigInt(quantity), salt];
    return concat([stringToHex("PMT1"), slice(keccak256(encodeAbiParameters(types, order)), 0, 16), salt]);
}

const token = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const orders = [
    { chainId: "84532", token, quantity: 10, salt: "0x000102030405060708090a0b" },
    { chainId: "84532", token, quantity: 1, salt: "0x000000000000000000000000" },
    { chainId: "8453", token, quantity: 10, salt: "0x000102030405060708090a0b" },
    { chainId: "31337", token: "0x5FbDB2315678afecb367f032d93F642f64180aa3", quantity: 4294967295, salt: "0xffffffffffffffffffffffff" },
    { chainId: "18446744073709551615", token: "0x0000000000000000000000000000000000000001", quantity: 256, salt: "0x504d5431504d5431504d5431" },
];
const made = "node tools/vectors/bound-nonce.mjs, with viem 2.57.1";
const vectors = { made, type, typeHash: keccak256(stringToHex(type)), cases: orders.map((order) => ({ ...order, nonce: boundNonce(order) })) };
console.log(JSON.stringify(vectors, null, 2));
