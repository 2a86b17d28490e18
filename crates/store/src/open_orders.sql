-- By payments_open.
SELECT id, payer, token, quantity, stage, payment_state, mint_state, refund_state, reason, held_by IS NOT NULL AS is_held, requested_seq, paid_seq FROM payments
WHERE is_open
ORDER BY requested_seq
