-- Rows in the spelling of token_rows. The terms are never updated.
INSERT INTO tokens AS known (
    token, chain_id, asset, name, symbol, unit, max_units, unit_price, creator, payment_key, config_hash,
    block_number, block_hash, units_paid, units_minted, registered_at, registered_seq, last_seq)
SELECT
    bytes_of(token), chain_id, bytes_of(asset), name, symbol, unit::numeric, max_units::numeric,
    unit_price::numeric, bytes_of(creator), bytes_of(payment_key), bytes_of(config_hash), block_number,
    bytes_of(block_hash), units_paid::numeric, units_minted::numeric, registered_at, registered_seq, last_seq
FROM json_populate_recordset(NULL::token_rows, $1::json)
ON CONFLICT (token) DO UPDATE SET
    units_paid = EXCLUDED.units_paid, units_minted = EXCLUDED.units_minted, last_seq = EXCLUDED.last_seq
WHERE known.last_seq < EXCLUDED.last_seq
