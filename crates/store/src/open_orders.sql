-- By payments_open.
SELECT id, payer, token, stage, requested_seq, paid_seq FROM payments
WHERE stage NOT IN ('failed', 'lost', 'minted')
ORDER BY requested_seq
