-- One page of waiting orders, by payments_open.
SELECT id, payer, token, stage IN ('requested', 'paid') AS is_new, requested_seq, last_seq,
       value::text, nonce, valid_before::text, CASE payment_state WHEN 'deferred' THEN reason END AS reason,
       greatest(0, ceil(extract(epoch FROM due_at - now()) * 1000))::bigint AS due_in_ms
FROM payments CROSS JOIN LATERAL (SELECT coalesce(retry_at, updated_at + interval '1 min') AS due_at) AS _
WHERE is_open AND stage = ANY($1) AND requested_seq > $3
      AND ($2::bigint IS NULL OR due_at <= now() - $2 * interval '1 ms')
ORDER BY requested_seq
LIMIT $4
