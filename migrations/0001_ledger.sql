-- The second copy of the ledger, and how far each projection has come.
-- Forward only: a file that has run anywhere is never edited; what it got wrong is put right by the next one.
-- Nothing here names a schema: the tables stand in the first schema of search_path, so that a rebuild can go beside
-- the live ones.

-- Widths that EVM and the ledger's payloads have. A row that does not fit is a bug of ours and is refused.
CREATE DOMAIN hash32 AS bytea CHECK (octet_length(VALUE) = 32);
CREATE DOMAIN evm_address AS bytea CHECK (octet_length(VALUE) = 20);
-- bigint ends at 2^63 - 1; amounts, nonces, block numbers and the payer's validBefore are unsigned 64 bits wide.
CREATE DOMAIN u64 AS numeric(20, 0) CHECK (VALUE BETWEEN 0 AND 18446744073709551615);
CREATE DOMAIN u128 AS numeric(39, 0) CHECK (VALUE BETWEEN 0 AND 340282366920938463463374607431768211455);

-- Bytes travel as 0x-hex, the spelling of the events and of the API.
CREATE FUNCTION hex_of(bytea) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN '0x' || encode($1, 'hex');
CREATE FUNCTION bytes_of(text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN decode(substr($1, 3), 'hex');

-- Every event, byte for byte: NATS with one replica can lose or alter events without an error (D4).
CREATE TABLE ledger (
    -- Stream sequence. Contiguous from 1: the projector reads unfiltered and stops at a gap (F15).
    seq bigint PRIMARY KEY CHECK (seq > 0),
    -- bytea, not text: whatever a publisher managed to write must be copied, a NUL included.
    -- `WHERE subject = 'orders.3...'` works as it reads.
    subject bytea NOT NULL CHECK (octet_length(subject) > 0),
    -- Header block as the ledger hands it over; NULL where the message has none.
    headers bytea,
    -- The body, decodable or not.
    payload bytea NOT NULL,
    -- When the stream stored it, to the microsecond. Not part of the hash: a refilled stream has other times.
    recorded_at timestamptz NOT NULL,
    -- sha256 over: hash of the row before (32 bytes, zeros before sequence 1); seq (8 bytes, big-endian);
    -- length of subject (4 bytes, big-endian), subject; length of headers (4 bytes, big-endian; ffffffff without
    -- headers), headers; payload. A changed, dropped or reordered row breaks every hash after it.
    hash hash32 NOT NULL
);

-- Written once. What repairs the copy has to switch the trigger off, and so has to mean it.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the copy of the ledger is append-only: % refused', TG_OP;
END $$;
CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Where a projection stands. Moved by compare-and-set in the transaction that writes its rows: of two projectors one
-- is fenced, and a replay changes nothing.
CREATE TABLE projections (
    name text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9-]*$'),
    -- Creation time of the stream that the sequence counts in: after a re-creation sequences start again (F13).
    incarnation timestamptz NOT NULL,
    -- Last sequence whose effect is in the rows; 0 before the first.
    seq bigint NOT NULL CHECK (seq >= 0),
    -- ledger.hash of that sequence: sequence numbers alone are reused when the stream's tail is lost (F15).
    hash hash32 NOT NULL,
    -- Wall clock of the last move, for the age of the projection. The only time here that is not the ledger's.
    moved_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((seq = 0) = (hash = decode(repeat('00', 32), 'hex')))
);

-- Events that changed no read model although they should have, and messages that a consumer gave up on.
-- In the copy all the same; here so that a person sees them.
CREATE TABLE set_aside (
    -- Sequence of the event.
    seq bigint PRIMARY KEY REFERENCES ledger (seq),
    -- undecodable: not an event of ours. impossible: contradicts the order's past; no decider of ours wrote it.
    -- parked_message: a consumer reports a message that it can never handle (ops.parked).
    kind text NOT NULL CHECK (kind IN ('undecodable', 'impossible', 'parked_message')),
    -- For people.
    reason text NOT NULL,
    -- When the stream stored the event.
    recorded_at timestamptz NOT NULL
);
