-- One page by payments_by_payer, and its rows in the one spelling: the payer of the view is text, without an index. An
-- array, because a join of the two is planned as if the page were a tenth of the table.
SELECT to_json(r)::text
FROM payment_rows r
WHERE id = ANY(ARRAY(SELECT id FROM payments
                     WHERE payer = $1 AND requested_seq < $2 ORDER BY requested_seq DESC LIMIT $3))
ORDER BY requested_seq DESC
