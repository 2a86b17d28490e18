-- Rows in the spelling of payment_rows. What the request fixes is never updated.
INSERT INTO payments AS known (
    id, payment_key, chain_id, asset, payer, token, quantity, unit_price, value, nonce, valid_after,
    valid_before, stage, payment_state, payment_attempts, payment_deferrals, payment_reversions, mint_state,
    mint_attempts, mint_deferrals, mint_parkings, mint_reversions, reason, detail, retry_at, settle_signer,
    settle_nonce, settle_tx_hash, settle_block_number, settle_block_hash, settle_log_index, paid_by,
    failed_block_number, failed_block_hash, failed_tx_hash, mint_signer, mint_nonce, mint_tx_hash,
    mint_block_number, mint_block_hash, requested_at, paid_at, minted_at, updated_at, requested_seq, paid_seq,
    last_seq)
SELECT
    id, bytes_of(payment_key), chain_id, bytes_of(asset), bytes_of(payer), bytes_of(token), quantity,
    unit_price::numeric, value::numeric, bytes_of(nonce), valid_after::numeric, valid_before::numeric, stage,
    payment_state, payment_attempts, payment_deferrals, payment_reversions, mint_state, mint_attempts,
    mint_deferrals, mint_parkings, mint_reversions, reason, detail, retry_at, bytes_of(settle_signer),
    settle_nonce, bytes_of(settle_tx_hash), settle_block_number, bytes_of(settle_block_hash), settle_log_index,
    paid_by, failed_block_number, bytes_of(failed_block_hash), bytes_of(failed_tx_hash), bytes_of(mint_signer),
    mint_nonce, bytes_of(mint_tx_hash), mint_block_number, bytes_of(mint_block_hash), requested_at, paid_at,
    minted_at, updated_at, requested_seq, paid_seq, last_seq
FROM json_populate_recordset(NULL::payment_rows, $1::json)
ON CONFLICT (id) DO UPDATE SET
    stage = EXCLUDED.stage, payment_state = EXCLUDED.payment_state,
    payment_attempts = EXCLUDED.payment_attempts, payment_deferrals = EXCLUDED.payment_deferrals,
    payment_reversions = EXCLUDED.payment_reversions, mint_state = EXCLUDED.mint_state,
    mint_attempts = EXCLUDED.mint_attempts, mint_deferrals = EXCLUDED.mint_deferrals,
    mint_parkings = EXCLUDED.mint_parkings, mint_reversions = EXCLUDED.mint_reversions,
    reason = EXCLUDED.reason, detail = EXCLUDED.detail, retry_at = EXCLUDED.retry_at,
    settle_signer = EXCLUDED.settle_signer, settle_nonce = EXCLUDED.settle_nonce,
    settle_tx_hash = EXCLUDED.settle_tx_hash, settle_block_number = EXCLUDED.settle_block_number,
    settle_block_hash = EXCLUDED.settle_block_hash, settle_log_index = EXCLUDED.settle_log_index,
    paid_by = EXCLUDED.paid_by, failed_block_number = EXCLUDED.failed_block_number,
    failed_block_hash = EXCLUDED.failed_block_hash, failed_tx_hash = EXCLUDED.failed_tx_hash,
    mint_signer = EXCLUDED.mint_signer, mint_nonce = EXCLUDED.mint_nonce, mint_tx_hash = EXCLUDED.mint_tx_hash,
    mint_block_number = EXCLUDED.mint_block_number, mint_block_hash = EXCLUDED.mint_block_hash,
    paid_at = EXCLUDED.paid_at, minted_at = EXCLUDED.minted_at, updated_at = EXCLUDED.updated_at,
    paid_seq = EXCLUDED.paid_seq, last_seq = EXCLUDED.last_seq
WHERE known.last_seq < EXCLUDED.last_seq
