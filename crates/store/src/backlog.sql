-- Who waits: one scan of payments_open, gathered by payer first, which needs no sort.
SELECT count(*) FILTER (WHERE unpaid_since IS NOT NULL) AS unpaid_payers, min(unpaid_since) AS unpaid_since,
       count(*) FILTER (WHERE unminted_since IS NOT NULL) AS unminted_payers, min(unminted_since) AS unminted_since,
       (SELECT coalesce(max(nth), 0) FROM payers) AS payers,
       now() AS read_at
FROM (SELECT min(requested_at) FILTER (WHERE stage IN ('requested', 'deferred', 'settling', 'reverted')) AS unpaid_since,
             min(requested_at) FILTER (WHERE stage IN ('requested', 'deferred', 'settling', 'reverted', 'paid', 'mint_deferred'))
             AS unminted_since
      FROM payments
      WHERE is_open
      GROUP BY payer) AS by_payer
