-- The catalogue: tokens for sale, as registered in the ledger and immutable on chain, and their sold units.
CREATE TABLE tokens (
    -- The ERC-20, payee and escrow of its own sales.
    token evm_address PRIMARY KEY,
    -- Chain, and the asset of its price.
    chain_id u64 NOT NULL,
    asset evm_address NOT NULL,
    -- The factory that created it, and the layout of the payments that it takes.
    factory evm_address NOT NULL,
    item_version smallint NOT NULL CHECK (item_version BETWEEN 0 AND 255),
    -- ERC-20 name and symbol.
    name text NOT NULL,
    symbol text NOT NULL,
    -- Token base units (18 decimals) that one unit mints, units that can ever be minted, atomic USDC a unit.
    unit u128 NOT NULL,
    max_units u64 NOT NULL,
    unit_price u64 NOT NULL,
    -- The account that may withdraw the earnings.
    creator evm_address NOT NULL,
    -- Price of the deployment (atomic USDC), hash of a document about the token (zeros if there is none), and what tells
    -- tokens of equal terms apart. The address commits to them as to all terms.
    fee u64 NOT NULL,
    metadata_hash hash32 NOT NULL,
    salt hash32 NOT NULL,
    -- Block of the factory's event.
    block_number u64 NOT NULL,
    block_hash hash32 NOT NULL,
    -- Units of orders of this ledger since the registration, kept by the fold: counting payments would read all of them.
    -- The chain may know more. Taken: ordered, but for payments that have failed or wait (store::UnitsHold), and for money
    -- that is back; there may be more of these than can be minted, because several doors accept orders, and payments that
    -- waited go on. Then paid for, as long as the money is not back, and minted.
    units_taken u64 NOT NULL,
    units_paid u64 NOT NULL CHECK (units_paid <= units_taken),
    units_minted u64 NOT NULL CHECK (units_minted <= units_taken),
    -- The ledger's time and sequence of the registration, and the last event that this row reflects.
    registered_at timestamptz NOT NULL,
    registered_seq bigint NOT NULL CHECK (registered_seq > 0),
    last_seq bigint NOT NULL CHECK (last_seq >= registered_seq)
);

-- A token with one spelling of every value; see payment_rows.
CREATE VIEW token_rows AS
SELECT hex_of(token) AS token, chain_id, hex_of(asset) AS asset, hex_of(factory) AS factory, item_version, name, symbol,
       unit::text AS unit, max_units::text AS max_units, unit_price::text AS unit_price, hex_of(creator) AS creator,
       fee::text AS fee, hex_of(metadata_hash) AS metadata_hash, hex_of(salt) AS salt, block_number,
       hex_of(block_hash) AS block_hash, units_taken::text AS units_taken, units_paid::text AS units_paid,
       units_minted::text AS units_minted, registered_at, registered_seq, last_seq
FROM tokens;
-- Queries of the view use the spelling that it shows.
CREATE UNIQUE INDEX tokens_by_address ON tokens (hex_of(token));

-- The work for each token in an hour, by the ledger's clock: payments that were put in a transaction, each time, and records
-- without an order that were found. A restarted api computes from the last day how much of its gas a token has used up.
CREATE TABLE token_loads (
    begins_at timestamptz NOT NULL CHECK (begins_at = date_bin('1 h', begins_at, timestamptz 'epoch')),
    token evm_address NOT NULL,
    submitted bigint NOT NULL,
    found bigint NOT NULL,
    PRIMARY KEY (begins_at, token)
);
