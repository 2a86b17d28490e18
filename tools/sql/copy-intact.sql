-- Checks the second copy of the ledger: every row's hash covers the row before it. An intact copy has 0 gaps, 0 altered.
SELECT count(*) AS rows, max(l.seq) AS last, count(*) FILTER (WHERE b.seq IS NULL AND l.seq > 1) AS gaps,
       count(*) FILTER (WHERE l.hash <> sha256(coalesce(b.hash, decode(repeat('00', 32), 'hex'))
           || int8send(l.seq) || int4send(octet_length(l.subject)) || l.subject
           || coalesce(int4send(octet_length(l.headers)), '\xffffffff') || coalesce(l.headers, '')
           || l.payload)) AS altered
FROM ledger l LEFT JOIN ledger b ON b.seq = l.seq - 1;
