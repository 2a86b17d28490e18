-- Records without an order: payments that a token has recorded, and that no order stands for. Somebody settled them without
-- us, or their payer signed two payments with one nonce. Folded from `records.>` by store::fold.
--
-- From here on the counters of `tokens` count them, too: a record takes its units until it is returned. An order takes units
-- only while no record with its id was found, because both are of one payment, and a token records it once.

CREATE TABLE records (
    -- UUIDv5 of payment_key: the id that an order of this payment has, or would have.
    id uuid PRIMARY KEY,
    -- keccak256(abi.encode(chainId, asset, payer, nonce)): the name on chain.
    payment_key hash32 NOT NULL,
    -- The token that has the record, and the payer, who receives units or money.
    token evm_address NOT NULL,
    payer evm_address NOT NULL,
    -- Units.
    quantity bigint NOT NULL CHECK (quantity BETWEEN 1 AND 4294967295),
    -- Where the payment was found on chain; the block is final.
    tx_hash hash32 NOT NULL,
    block_number u64 NOT NULL,
    block_hash hash32 NOT NULL,
    -- domain::RecordStage by name.
    stage text NOT NULL CHECK (stage IN ('found', 'minted', 'returned')),
    -- The final block that showed the end.
    ended_block_number u64,
    ended_block_hash hash32,
    -- The ledger's times and sequences of `record.found` and of the last event.
    found_at timestamptz NOT NULL,
    ended_at timestamptz,
    found_seq bigint NOT NULL CHECK (found_seq > 0),
    last_seq bigint NOT NULL CHECK (last_seq >= found_seq),
    CHECK ((stage = 'found') = (last_seq = found_seq)),
    CHECK ((stage = 'found') = (ended_at IS NULL)),
    CHECK ((ended_block_number IS NULL) = (ended_at IS NULL) AND (ended_block_hash IS NULL) = (ended_at IS NULL))
);

-- A record with one spelling of every value; see payment_rows.
CREATE VIEW record_rows AS
SELECT id, hex_of(payment_key) AS payment_key, hex_of(token) AS token, hex_of(payer) AS payer, quantity,
       hex_of(tx_hash) AS tx_hash, block_number, hex_of(block_hash) AS block_hash, stage, ended_block_number,
       hex_of(ended_block_hash) AS ended_block_hash, found_at, ended_at, found_seq, last_seq
FROM records;
