-- The second copy of the ledger, and the position of each projection.
-- Forward only: a file that has run anywhere is never edited; the next one corrects it.
-- No statement names a schema: the tables are in the first schema of search_path, so that a rebuild can stand beside the
-- live ones.

-- Widths of the EVM and of the ledger's payloads. A row that does not fit is a bug of ours and is refused.
CREATE DOMAIN hash32 AS bytea CHECK (octet_length(VALUE) = 32);
CREATE DOMAIN evm_address AS bytea CHECK (octet_length(VALUE) = 20);
-- bigint ends at 2^63 - 1; amounts, nonces, block numbers and the payer's validBefore are unsigned 64 bits wide.
CREATE DOMAIN u64 AS numeric(20, 0) CHECK (VALUE BETWEEN 0 AND 18446744073709551615);
CREATE DOMAIN u128 AS numeric(39, 0) CHECK (VALUE BETWEEN 0 AND 340282366920938463463374607431768211455);

-- Bytes are written as 0x-hex, like in the events and in the API.
CREATE FUNCTION hex_of(bytea) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN '0x' || encode($1, 'hex');

-- Every event, byte for byte: NATS with one replica can lose or alter events without an error.
CREATE TABLE ledger (
    -- Stream sequence. Contiguous from 1: the projector reads unfiltered and stops at a gap.
    seq bigint PRIMARY KEY CHECK (seq > 0),
    -- bytea, not text: everything that a publisher managed to write must be copied, including a NUL.
    -- `WHERE subject = 'orders.3...'` works.
    subject bytea NOT NULL CHECK (octet_length(subject) > 0),
    -- Header block as the ledger returns it. NULL if the message has none.
    headers bytea,
    -- The body, decodable or not.
    payload bytea NOT NULL,
    -- Time at which the stream stored it, to the microsecond. Not part of the hash: a refilled stream has other times.
    recorded_at timestamptz NOT NULL,
    -- sha256 over: hash of the row before (32 bytes, zeros before sequence 1); seq (8 bytes, big-endian);
    -- length of subject (4 bytes, big-endian), subject; length of headers (4 bytes, big-endian; ffffffff without
    -- headers), headers; payload. A changed, dropped or reordered row breaks every hash after it.
    hash hash32 NOT NULL
);

-- Written once. A repair of the copy must switch the trigger off explicitly.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the copy of the ledger is append-only: % refused', TG_OP;
END $$;
CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Position of a projection. It moves by compare-and-set in the transaction that writes its rows: of two projectors one is
-- fenced, and a replay changes nothing.
CREATE TABLE projections (
    name text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9-]*$'),
    -- Creation time of the stream of the sequence: after a re-creation sequences start again.
    incarnation timestamptz NOT NULL,
    -- Last sequence whose effect is in the rows; 0 before the first.
    seq bigint NOT NULL CHECK (seq >= 0),
    -- ledger.hash of that sequence: sequence numbers alone are reused after the stream lost its tail.
    hash hash32 NOT NULL,
    -- Wall clock of the last move, for the age of the projection. All other times are the ledger's.
    moved_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((seq = 0) = (hash = decode(repeat('00', 32), 'hex')))
);

-- Events that should have changed a read model and did not, and messages that a consumer gave up. They are in the copy as
-- well; here an operator sees them.
CREATE TABLE set_aside (
    -- Sequence of the event.
    seq bigint PRIMARY KEY REFERENCES ledger (seq),
    -- undecodable: not an event of ours. impossible: contradicts the order's history; no decider of ours wrote it.
    -- parked_message: a consumer reports a message that it can never handle (ops.parked).
    kind text NOT NULL CHECK (kind IN ('undecodable', 'impossible', 'parked_message')),
    -- A text for people.
    reason text NOT NULL,
    -- Time at which the stream stored the event.
    recorded_at timestamptz NOT NULL
);
