-- By payments_open.
SELECT id, payer, token, quantity, stage, refund_state, requested_seq, paid_seq FROM payments
WHERE is_open
ORDER BY requested_seq
