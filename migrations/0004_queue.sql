-- Figures of the queue without reading every order: open orders, orders per stage, their speed, and
-- the mint transactions. Counted in the transaction that writes the rows, from the same events, so a rebuild from
-- sequence 1 counts the same. What was projected before this file is counted here, but for the mint transactions: those
-- signed until now appear after a rebuild.

-- The backlog at the start of an api, and who waits since when.
CREATE INDEX payments_open ON payments (requested_seq) WHERE is_open;

-- Number and value of the orders in each stage. Counters, because counting payments reads all of them.
CREATE TABLE stage_totals (
    stage text PRIMARY KEY CHECK (stage IN ('requested', 'deferred', 'payment_parked', 'settling', 'reverted', 'failed',
                                            'paid', 'minting', 'mint_deferred', 'mint_parked', 'minted',
                                            'refund_requested', 'refunding', 'refund_deferred', 'refund_parked',
                                            'refunded')),
    orders bigint NOT NULL CHECK (orders >= 0),
    -- Units bought, and atomic USDC of the authorizations.
    units u128 NOT NULL,
    value u128 NOT NULL
);
-- Every stage has its row from the beginning: the fold only adds and takes away.
INSERT INTO stage_totals (stage, orders, units, value)
SELECT stage, count(id), coalesce(sum(quantity), 0), coalesce(sum(value), 0)
FROM UNNEST(ARRAY['requested', 'deferred', 'payment_parked', 'settling', 'reverted', 'failed', 'paid', 'minting',
                  'mint_deferred', 'mint_parked', 'minted', 'refund_requested', 'refunding', 'refund_deferred',
                  'refund_parked', 'refunded']) AS every(stage) LEFT JOIN payments USING (stage)
GROUP BY stage;

-- Events of ten seconds, by the ledger's clock: the rates of the last minutes are sums of a few rows, and a
-- restart of the api forgets none of them. 8,640 rows for a day that is busy throughout.
CREATE TABLE pace (
    begins_at timestamptz PRIMARY KEY CHECK (begins_at = date_bin('10 s', begins_at, timestamptz 'epoch')),
    requested bigint NOT NULL,
    paid bigint NOT NULL,
    minted bigint NOT NULL,
    units_minted u128 NOT NULL
);
INSERT INTO pace (begins_at, requested, paid, minted, units_minted)
SELECT date_bin('10 s', at, timestamptz 'epoch'), sum(requested), sum(paid), sum(minted), sum(units)
FROM payments, LATERAL (VALUES (requested_at, 1, 0, 0, 0), (paid_at, 0, 1, 0, 0), (minted_at, 0, 0, 1, quantity))
     AS step(at, requested, paid, minted, units)
WHERE at IS NOT NULL
GROUP BY 1;

-- Everybody who ever ordered, numbered in the order of their first orders: how many there are is the last number.
CREATE TABLE payers (
    payer evm_address PRIMARY KEY,
    nth bigint NOT NULL UNIQUE CHECK (nth > 0),
    -- Sequence of the first request.
    first_seq bigint NOT NULL
);
INSERT INTO payers (payer, nth, first_seq)
SELECT payer, row_number() OVER (ORDER BY min(requested_seq)), min(requested_seq) FROM payments GROUP BY payer;

-- The mint transactions, from the lanes' own events. Not grouped from payments: these hold the latest transaction only,
-- so a batch whose items were skipped and went into the next one would vanish.
CREATE TABLE mint_batches (
    -- Sequence of `signed`: the order of the list.
    signed_seq bigint PRIMARY KEY CHECK (signed_seq > 0),
    -- Which nonce of which lane; `settled` is found by it.
    signer evm_address NOT NULL,
    nonce u64 NOT NULL,
    tx_hash hash32 NOT NULL,
    -- The contract that is called, and how many orders are inside. One that the contract skips stays counted.
    token evm_address NOT NULL,
    mint_count bigint NOT NULL CHECK (mint_count >= 0),
    -- completed: in a block, N deep. failed: it reverted as a whole, or another transaction used the nonce. Its orders
    -- go on either way.
    status text NOT NULL CHECK (status IN ('processing', 'completed', 'failed')),
    -- The ledger's times of `signed` and `settled`, and the block.
    signed_at timestamptz NOT NULL,
    settled_at timestamptz,
    block_number u64,
    UNIQUE (signer, nonce),
    CHECK ((status = 'processing') = (settled_at IS NULL)),
    CHECK ((status = 'processing') = (block_number IS NULL))
);
