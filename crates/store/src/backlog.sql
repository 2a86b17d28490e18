-- Who waits: one scan of payments_open.
SELECT count(DISTINCT payer) FILTER (WHERE stage IN ('requested', 'deferred', 'settling')) AS unpaid_payers,
       min(requested_at) FILTER (WHERE stage IN ('requested', 'deferred', 'settling')) AS unpaid_since,
       count(DISTINCT payer) FILTER (WHERE stage NOT IN ('minting', 'mint_parked')) AS unminted_payers,
       min(requested_at) FILTER (WHERE stage NOT IN ('minting', 'mint_parked')) AS unminted_since,
       (SELECT coalesce(max(nth), 0) FROM payers) AS payers,
       now() AS read_at
FROM payments
WHERE stage NOT IN ('failed', 'minted')
