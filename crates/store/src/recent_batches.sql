-- Ten: what the earlier system's page shows.
SELECT signed_seq, tx_hash, token, mint_count, status, signed_at, settled_at, block_number::text AS block_number
FROM mint_batches
ORDER BY signed_seq DESC
LIMIT 10
