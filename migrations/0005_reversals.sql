-- What a reorganisation deeper than N takes back: payments and mints that were N blocks deep and are no longer in the
-- chain. `reverted`: was charged, the block is gone, its transaction is sent again. `lost`: can never be charged, and is
-- minted; the sum of that is what the exposure cap bounds, and stage_totals counts it.

-- The rules that name a stage are said anew below.
DO $$
DECLARE rule record;
BEGIN
    FOR rule IN SELECT conrelid::regclass AS tab, conname FROM pg_constraint
                WHERE contype = 'c' AND conrelid IN ('payments'::regclass, 'stage_totals'::regclass)
                  AND pg_get_constraintdef(oid) ~ '''(minted|sent|mint_parked)'''
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', rule.tab, rule.conname);
    END LOOP;
END $$;

ALTER TABLE payments
    -- How often each was taken back.
    ADD COLUMN payment_reversions bigint NOT NULL DEFAULT 0 CHECK (payment_reversions >= 0),
    ADD COLUMN mint_reversions bigint NOT NULL DEFAULT 0 CHECK (mint_reversions >= 0),
    -- Of a payment that is open again: its mint was under way, or there, and stays so.
    ADD COLUMN ahead text CHECK (ahead IN ('minting', 'minted')),
    ADD CHECK (stage IN ('requested', 'deferred', 'settling', 'reverted', 'failed', 'lost', 'paid', 'minting',
                         'mint_deferred', 'mint_parked', 'minted')),
    ADD CHECK (status = CASE WHEN stage IN ('requested', 'deferred', 'reverted') THEN 'pending'
                             WHEN stage = 'settling' THEN 'sent'
                             WHEN stage IN ('failed', 'lost') THEN 'failed'
                             ELSE 'completed' END),
    ADD CHECK ((stage IN ('deferred', 'failed', 'lost', 'mint_deferred', 'mint_parked')) = (reason IS NOT NULL)),
    ADD CHECK (ahead IS NULL OR (payment_reversions > 0 AND stage IN ('deferred', 'settling', 'reverted'))),
    ADD CHECK (stage <> 'reverted' OR (settle_signer, settle_nonce, settle_tx_hash) IS NOT NULL),
    ADD CHECK ((stage IN ('minted', 'lost') OR ahead IS NOT DISTINCT FROM 'minted')
               = ((mint_tx_hash, mint_block_number, mint_block_hash, minted_at) IS NOT NULL));

-- Orders that are not at their end.
DROP INDEX payments_open;
CREATE INDEX payments_open ON payments (requested_seq) WHERE stage NOT IN ('failed', 'lost', 'minted');

ALTER TABLE stage_totals
    ADD CHECK (stage IN ('requested', 'deferred', 'settling', 'reverted', 'failed', 'lost', 'paid', 'minting',
                         'mint_deferred', 'mint_parked', 'minted'));
INSERT INTO stage_totals (stage, orders, units, value) VALUES ('reverted', 0, 0, 0), ('lost', 0, 0, 0);

CREATE OR REPLACE VIEW payment_rows AS
SELECT id, hex_of(payment_key) AS payment_key, chain_id, hex_of(asset) AS asset, hex_of(payer) AS payer,
       hex_of(token) AS token, quantity, unit_price::text AS unit_price, value::text AS value, hex_of(nonce) AS nonce,
       valid_after::text AS valid_after, valid_before::text AS valid_before, stage, status, reason, detail, retry_at,
       payment_attempts, payment_deferrals, mint_attempts, mint_deferrals, mint_parkings,
       hex_of(settle_signer) AS settle_signer, settle_nonce, hex_of(settle_tx_hash) AS settle_tx_hash,
       settle_block_number, hex_of(settle_block_hash) AS settle_block_hash, settle_log_index, paid_by,
       failed_block_number, hex_of(failed_block_hash) AS failed_block_hash, hex_of(failed_tx_hash) AS failed_tx_hash,
       hex_of(mint_signer) AS mint_signer, mint_nonce, hex_of(mint_tx_hash) AS mint_tx_hash, mint_block_number,
       hex_of(mint_block_hash) AS mint_block_hash,
       requested_at, paid_at, minted_at, updated_at, requested_seq, paid_seq, last_seq,
       payment_reversions, mint_reversions, ahead
FROM payments;
