-- domain::order::LegState by name: where the payment stands, where the debt that it pays for does, and where the way back of
-- the money does.
CREATE DOMAIN leg_state AS text
    CHECK (VALUE IN ('unasked', 'owed', 'submitted', 'deferred', 'parked', 'done', 'reverted', 'failed'));

-- One row per order: the payment, the mint that it owes, and the refund if there is one. Folded from `orders.>` by store::project, nothing else
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
    -- domain::order::Stage by name: the fine state. It follows from the states of the three legs below.
    stage text NOT NULL CHECK (stage IN ('requested', 'deferred', 'payment_parked', 'settling', 'reverted', 'failed',
                                         'paid', 'minting', 'mint_deferred', 'mint_parked', 'minted',
                                         'refund_requested', 'refunding', 'refund_deferred', 'refund_parked',
                                         'refunded')),
    -- domain::order::Progress: the states of the legs, and how often the steps that repeat have happened. Nothing else of
    -- an order decides which event may follow.
    payment_state leg_state NOT NULL CHECK (payment_state <> 'unasked'),
    payment_attempts bigint NOT NULL CHECK (payment_attempts >= 0),
    payment_deferrals bigint NOT NULL CHECK (payment_deferrals >= 0),
    payment_parkings bigint NOT NULL CHECK (payment_parkings >= 0),
    payment_reversions bigint NOT NULL CHECK (payment_reversions >= 0),
    mint_state leg_state NOT NULL CHECK (mint_state <> 'unasked'),
    mint_attempts bigint NOT NULL CHECK (mint_attempts >= 0),
    mint_deferrals bigint NOT NULL CHECK (mint_deferrals >= 0),
    mint_parkings bigint NOT NULL CHECK (mint_parkings >= 0),
    mint_reversions bigint NOT NULL CHECK (mint_reversions >= 0),
    -- unasked: nobody has asked for the money to go back.
    refund_state leg_state NOT NULL,
    refund_attempts bigint NOT NULL CHECK (refund_attempts >= 0),
    refund_deferrals bigint NOT NULL CHECK (refund_deferrals >= 0),
    refund_parkings bigint NOT NULL CHECK (refund_parkings >= 0),
    refund_reversions bigint NOT NULL CHECK (refund_reversions >= 0),
    -- Why a leg waits, has failed or is parked: a stable code, and what the chain said. There is one such leg at most. Its
    -- reason stays while other legs go on: a payment that is deferred waits again if the refund that ended its order is
    -- reverted.
    reason text CHECK (reason ~ '^[a-z_]+$'),
    detail text,
    -- The transaction that an operator must look at, if the leg is parked because of one.
    parked_tx_hash hash32,
    -- A deferred leg is not tried before this.
    retry_at timestamptz,
    -- Messages of the order that were set aside, and the one that holds it now: its consumer, its sequence, and the reason.
    holds bigint NOT NULL CHECK (holds >= 0),
    held_by text,
    held_seq u64,
    held_detail text,
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
    -- Who decided that the money goes back, and why. NULL if nobody did: a payer may take the money back.
    refund_reason text CHECK (refund_reason IN ('operator', 'sold_out')),
    refund_by text,
    refund_detail text,
    -- The refund: our latest transaction until proven, then the one that returned the money or found it returned, who
    -- caused the refund, and atomic USDC. The payer receives it.
    refund_signer evm_address,
    refund_nonce u64,
    refund_tx_hash hash32,
    refund_block_number u64,
    refund_block_hash hash32,
    refunded_by text CHECK (refunded_by IN ('paymint', 'third_party')),
    refund_amount u64,
    -- The ledger's times.
    requested_at timestamptz NOT NULL,
    paid_at timestamptz,
    minted_at timestamptz,
    refunded_at timestamptz,
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
    is_open boolean NOT NULL GENERATED ALWAYS AS (stage NOT IN ('failed', 'minted', 'refunded')) STORED,

    -- A leg that waits or has failed has a reason. A parked payment is the refund's affair once a refund is asked for.
    CHECK ((payment_state IN ('deferred', 'failed') OR (payment_state = 'parked' AND refund_state = 'unasked')
            OR mint_state IN ('deferred', 'parked') OR refund_state IN ('deferred', 'parked')) = (reason IS NOT NULL)),
    CHECK ((reason IS NULL) = (detail IS NULL)),
    CHECK ((held_by IS NULL) = (held_seq IS NULL) AND (held_by IS NULL) = (held_detail IS NULL)),
    CHECK (held_by IS NULL OR holds > 0),
    CHECK (('deferred' IN (payment_state, mint_state, refund_state)) = (retry_at IS NOT NULL)),
    CHECK (parked_tx_hash IS NULL OR 'parked' IN (mint_state, refund_state)
           OR (payment_state = 'parked' AND refund_state = 'unasked')),
    -- A mint waits only while its payment is done and nobody has asked for the money back. A refund waits only for money
    -- that is there. A payment fails only while nothing follows from it. A record of the token knows one end only.
    CHECK (mint_state NOT IN ('deferred', 'parked') OR (payment_state = 'done' AND refund_state = 'unasked')),
    CHECK (refund_state NOT IN ('deferred', 'parked') OR (payment_state IN ('done', 'parked') AND mint_state <> 'done')),
    CHECK (payment_state <> 'failed' OR (mint_state = 'owed' AND refund_state IN ('unasked', 'owed'))),
    CHECK (mint_state <> 'done' OR refund_state <> 'done'),
    CHECK (payment_state NOT IN ('submitted', 'reverted')
           OR (settle_signer, settle_nonce, settle_tx_hash) IS NOT NULL),
    CHECK ((payment_state = 'done') = (paid_seq IS NOT NULL)),
    CHECK ((payment_state = 'done')
           = ((settle_tx_hash, settle_block_number, settle_block_hash, settle_recorded_at, paid_by, paid_at)
              IS NOT NULL)),
    CHECK ((payment_state = 'failed') = ((failed_block_number, failed_block_hash) IS NOT NULL)),
    CHECK (mint_state NOT IN ('submitted', 'reverted') OR (mint_signer, mint_nonce, mint_tx_hash) IS NOT NULL),
    CHECK ((mint_state = 'done')
           = ((mint_tx_hash, mint_block_number, mint_block_hash, minted_by, minted_at) IS NOT NULL)),
    CHECK (refund_state <> 'unasked'
           OR (refund_reason IS NULL
               AND refund_attempts + refund_deferrals + refund_parkings + refund_reversions = 0)),
    CHECK ((refund_reason IS NULL) = (refund_by IS NULL) AND (refund_reason IS NULL) = (refund_detail IS NULL)),
    CHECK (refund_state NOT IN ('submitted', 'reverted') OR (refund_signer, refund_nonce, refund_tx_hash) IS NOT NULL),
    CHECK ((refund_state = 'done')
           = ((refund_tx_hash, refund_block_number, refund_block_hash, refunded_by, refund_amount, refunded_at)
              IS NOT NULL))
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
       mint_state, mint_attempts, mint_deferrals, mint_parkings, mint_reversions,
       refund_state, refund_attempts, refund_deferrals, refund_parkings, refund_reversions, reason, detail,
       hex_of(parked_tx_hash) AS parked_tx_hash, retry_at,
       holds, held_by, held_seq, held_detail, hex_of(settle_signer) AS settle_signer, settle_nonce, hex_of(settle_tx_hash) AS settle_tx_hash,
       settle_block_number, hex_of(settle_block_hash) AS settle_block_hash, settle_recorded_at, paid_by,
       failed_block_number, hex_of(failed_block_hash) AS failed_block_hash, hex_of(failed_tx_hash) AS failed_tx_hash,
       hex_of(mint_signer) AS mint_signer, mint_nonce, hex_of(mint_tx_hash) AS mint_tx_hash, mint_block_number,
       hex_of(mint_block_hash) AS mint_block_hash, minted_by, refund_reason, refund_by, refund_detail,
       hex_of(refund_signer) AS refund_signer, refund_nonce, hex_of(refund_tx_hash) AS refund_tx_hash,
       refund_block_number, hex_of(refund_block_hash) AS refund_block_hash, refunded_by,
       refund_amount::text AS refund_amount,
       requested_at, paid_at, minted_at, refunded_at, updated_at, requested_seq, paid_seq, last_seq, event_seqs
FROM payments;
