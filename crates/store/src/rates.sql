-- Of the last 60 and the last 300 seconds: the whole rows of `pace` in them, and the one that is not over yet. Divided by
-- the time that these rows cover so far.
WITH span AS (
    SELECT seconds, since, extract(epoch FROM now() - since) AS covered_s
    FROM (VALUES (60), (300)) AS asked(seconds)
         CROSS JOIN LATERAL (SELECT date_bin('10 s', now(), timestamptz 'epoch') - make_interval(secs => seconds)) AS _(since)
)
SELECT round(coalesce(sum(requested), 0) / covered_s, 3)::float8 AS requested,
       round(coalesce(sum(paid), 0) / covered_s, 3)::float8 AS paid,
       round(coalesce(sum(minted), 0) / covered_s, 3)::float8 AS minted,
       round(coalesce(sum(units_minted), 0) / covered_s, 3)::float8 AS units_minted
FROM span LEFT JOIN pace ON begins_at >= since
GROUP BY seconds, covered_s
ORDER BY seconds
