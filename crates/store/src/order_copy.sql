-- The events of one order in the copy, by its row, and the position. Without the order: one row without an event.
SELECT of.incarnation, of.seq AS position, of.hash AS position_hash,
       event.seq, event.subject, event.headers, event.payload, event.recorded_at, event.hash
FROM projections AS of
LEFT JOIN ledger AS event ON event.seq = ANY ((SELECT event_seqs FROM payments WHERE id = $1)::bigint[])
WHERE of.name = $2
ORDER BY event.seq
