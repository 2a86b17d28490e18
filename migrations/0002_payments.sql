-- domain::order::LegState by name: where the payment stands, and where the debt that it pays for does.
CREATE DOMAIN leg_state AS text
    CHECK (VALUE IN ('owed', 'submitted', 'deferred', 'parked', 'done', 'reverted', 'failed'));

-- One row per order: the payment and the mint that it owes. Folded from `orders.>` by store::project, nothing else
-- writes here, and a rebuild from sequence 1 gives the same rows.
CREATE TABLE payments (
    -- UUIDv5 of payment_key: paymentQueueId of the API, and the id of the mint.
    id uuid PRIMARY KEY,
    -- keccak256(abi.encode(chainId, asset, payer, nonce)): the payment's name on chain.
    payment_key hash32 NOT NULL,
    -- EIP-155 chain id and the USDC contract: the values of the key, for readers of the chain.
    chain_id u64 NOT NULL,
    asset evm_address NOT NULL,
    -- The payer, who receives the minted units.
    payer evm_address NOT NULL,
    -- The purchase. A request whose price or payee contradicts its value cannot be decoded: it is set aside, and has
    -- no row here.
    token evm_address NOT NULL,
    -- Units; the contract takes a uint32.
    quantity bigint NOT NULL CHECK (quantity BETWEEN 1 AND 4294967295),
    -- Atomic USDC a unit, and of the whole authorization.
    unit_price u64 NOT NULL,
    value u64 NOT NULL,
    -- The authorization's nonce and window (unix seconds), to find it on chain and to tell when it is dead.
    nonce hash32 NOT NULL,
    valid_after u64 NOT NULL,
    valid_before u64 NOT NULL,
    -- domain::order::Stage by name: the fine state. It follows from the states of the two legs below.
    stage text NOT NULL CHECK (stage IN ('requested', 'deferred', 'payment_parked', 'settling', 'reverted', 'failed',
                                         'paid', 'minting', 'mint_deferred', 'mint_parked', 'minted')),
    -- domain::order::Progress: the states of the legs, and how often the steps that repeat have happened. Nothing else of
    -- an order decides which event may follow.
    payment_state leg_state NOT NULL,
    payment_attempts bigint NOT NULL CHECK (payment_attempts >= 0),
    payment_deferrals bigint NOT NULL CHECK (payment_deferrals >= 0),
    payment_parkings bigint NOT NULL CHECK (payment_parkings >= 0),
    payment_reversions bigint NOT NULL CHECK (payment_reversions >= 0),
    mint_state leg_state NOT NULL,
    mint_attempts bigint NOT NULL CHECK (mint_attempts >= 0),
    mint_deferrals bigint NOT NULL CHECK (mint_deferrals >= 0),
    mint_parkings bigint NOT NULL CHECK (mint_parkings >= 0),
    mint_reversions bigint NOT NULL CHECK (mint_reversions >= 0),
    -- Why it waits, has failed or is parked: a stable code, and what the chain said.
    reason text CHECK (reason ~ '^[a-z_]+$'),
    detail text,
    -- The transaction that an operator must look at, if it is parked because of one.
    parked_tx_hash hash32,
    -- A deferred payment or mint is not tried before this.
    retry_at timestamptz,
    -- The settlement: our latest transaction until proven, then the one that recorded the payment or found it recorded.
    -- Signer and nonce are ours. They are NULL if the record is a stranger's and no transaction of ours met it.
    settle_signer evm_address,
    settle_nonce u64,
    settle_tx_hash hash32,
    settle_block_number u64,
    settle_block_hash hash32,
    -- Unix seconds of the block that recorded the payment, and who caused the record.
    settle_recorded_at u64,
    paid_by text CHECK (paid_by IN ('paymint', 'third_party')),
    -- Proof of failure: the block at which it was proven, and the transaction that used or cancelled the nonce.
    failed_block_number u64,
    failed_block_hash hash32,
    failed_tx_hash hash32,
    -- The mint: our latest transaction until proven, then the one that minted or found the units minted, and who caused
    -- the mint.
    mint_signer evm_address,
    mint_nonce u64,
    mint_tx_hash hash32,
    mint_block_number u64,
    mint_block_hash hash32,
    minted_by text CHECK (minted_by IN ('paymint', 'third_party')),
    -- The ledger's times.
    requested_at timestamptz NOT NULL,
    paid_at timestamptz,
    minted_at timestamptz,
    updated_at timestamptz NOT NULL,
    -- The ledger's sequences: of the request, of the confirmation (the place in the mint queue), and of the last event
    -- that this row reflects.
    requested_seq bigint NOT NULL CHECK (requested_seq > 0),
    paid_seq bigint,
    last_seq bigint NOT NULL CHECK (last_seq >= requested_seq),
    -- The sequences of all events that this row reflects, in order: where the copy has the order's history. Reading
    -- them from there costs the ledger nothing, whose old blocks are loaded under the lock that appends need.
    event_seqs bigint[] NOT NULL CHECK (cardinality(event_seqs) > 0 AND event_seqs[1] = requested_seq
                                        AND event_seqs[cardinality(event_seqs)] = last_seq),
    -- Not at its end. A column, because an index that looks at the stage itself would be written at every step of an
    -- order.
    is_open boolean NOT NULL GENERATED ALWAYS AS (stage NOT IN ('failed', 'minted')) STORED,

    -- Either leg waits or has failed: then there is a reason. A mint waits only while its payment is done. A payment
    -- fails only while its mint is merely owed.
    CHECK ((stage IN ('deferred', 'payment_parked', 'failed', 'mint_deferred', 'mint_parked')) = (reason IS NOT NULL)),
    CHECK ((reason IS NULL) = (detail IS NULL)),
    CHECK ((stage IN ('deferred', 'mint_deferred')) = (retry_at IS NOT NULL)),
    CHECK (parked_tx_hash IS NULL OR stage IN ('payment_parked', 'mint_parked')),
    CHECK (payment_state <> 'failed' OR mint_state = 'owed'),
    CHECK (payment_state NOT IN ('submitted', 'reverted')
           OR (settle_signer, settle_nonce, settle_tx_hash) IS NOT NULL),
    CHECK ((payment_state = 'done') = (paid_seq IS NOT NULL)),
    CHECK ((payment_state = 'done')
           = ((settle_tx_hash, settle_block_number, settle_block_hash, settle_recorded_at, paid_by, paid_at)
              IS NOT NULL)),
    CHECK ((payment_state = 'failed') = ((failed_block_number, failed_block_hash) IS NOT NULL)),
    CHECK (mint_state NOT IN ('submitted', 'reverted') OR (mint_signer, mint_nonce, mint_tx_hash) IS NOT NULL),
    CHECK ((mint_state = 'done')
           = ((mint_tx_hash, mint_block_number, mint_block_hash, minted_by, minted_at) IS NOT NULL))
)
-- Room in each page for the next versions of its rows: a step that changes no index then writes none.
WITH (fillfactor = 60);

-- A payer's own orders, newest last.
CREATE INDEX payments_by_payer ON payments (payer, requested_seq);

-- A payment as people and the API read it, and as a rebuild is compared: one spelling of every value.
CREATE VIEW payment_rows AS
SELECT id, hex_of(payment_key) AS payment_key, chain_id, hex_of(asset) AS asset, hex_of(payer) AS payer,
       hex_of(token) AS token, quantity, unit_price::text AS unit_price, value::text AS value, hex_of(nonce) AS nonce,
       valid_after::text AS valid_after, valid_before::text AS valid_before, stage,
       payment_state, payment_attempts, payment_deferrals, payment_parkings, payment_reversions,
       mint_state, mint_attempts, mint_deferrals, mint_parkings, mint_reversions, reason, detail,
       hex_of(parked_tx_hash) AS parked_tx_hash, retry_at,
       hex_of(settle_signer) AS settle_signer, settle_nonce, hex_of(settle_tx_hash) AS settle_tx_hash,
       settle_block_number, hex_of(settle_block_hash) AS settle_block_hash, settle_recorded_at, paid_by,
       failed_block_number, hex_of(failed_block_hash) AS failed_block_hash, hex_of(failed_tx_hash) AS failed_tx_hash,
       hex_of(mint_signer) AS mint_signer, mint_nonce, hex_of(mint_tx_hash) AS mint_tx_hash, mint_block_number,
       hex_of(mint_block_hash) AS mint_block_hash, minted_by,
       requested_at, paid_at, minted_at, updated_at, requested_seq, paid_seq, last_seq, event_seqs
FROM payments;
