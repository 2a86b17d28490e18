-- Transactions that are signed and neither settled nor lost. A nonce that a reorg opened again is not among them.
SELECT convert_from(s.subject, 'UTF8') AS open, s.recorded_at
FROM ledger s
WHERE convert_from(s.subject, 'UTF8') LIKE 'signers.%.signed.%'
  AND NOT EXISTS (SELECT FROM ledger d WHERE d.subject =
      convert_to(replace(convert_from(s.subject, 'UTF8'), '.signed.', '.mined.settled.'), 'UTF8'))
  AND NOT EXISTS (SELECT FROM ledger d WHERE d.subject =
      convert_to(replace(convert_from(s.subject, 'UTF8'), '.signed.', '.lost.'), 'UTF8'))
ORDER BY s.seq;
