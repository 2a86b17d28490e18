//! The copy and the read models, in one read-only look.

use crate::CannotAudit;
use crate::run::Run;
use alloy_primitives::B256;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row as _};
use std::collections::BTreeMap;

/// A row, every value as text: table by table the spelling of migrations/.
pub type Row = BTreeMap<String, Option<String>>;

/// Read models by table or view; rows in no order.
pub type Models = BTreeMap<String, Vec<Row>>;

/// Tables that are folded from the stream and compared.
pub const MODELS: [&str; 8] =
    ["payment_rows", "token_rows", "record_rows", "set_aside", "stage_totals", "pace", "payers", "mint_batches"];

/// A row of the copy.
#[derive(Clone, Debug)]
pub struct CopyRow {
    pub seq: u64,
    pub subject: Vec<u8>,
    pub headers: Option<Vec<u8>>,
    pub payload: Vec<u8>,
    pub recorded_at: DateTime<Utc>,
    pub hash: B256,
}

/// How far the projection says that it is.
#[derive(Clone, Debug)]
pub struct Position {
    pub incarnation: DateTime<Utc>,
    pub seq: u64,
    pub hash: B256,
}

/// The tables.
#[derive(Clone, Debug)]
pub struct Tables {
    pub copy: Vec<CopyRow>,
    pub position: Option<Position>,
    pub live: Models,
    pub rebuilt: Option<Models>,
}

/// A connection.
#[derive(Debug)]
pub struct Database(PgConnection);

impl Database {
    pub async fn connect(url: &str) -> Result<Self, CannotAudit> {
        PgConnection::connect(url).await.map(Self).map_err(failed)
    }

    /// Sequence up to which the read models are built; 0 where there are none.
    pub async fn projected(&mut self, schema: &str) -> Result<u64, CannotAudit> {
        let query = format!("SELECT seq FROM {}.projections", ident(schema)?);
        let seq: Option<i64> =
            sqlx::query_scalar(AssertSqlSafe(query)).fetch_optional(&mut self.0).await.map_err(failed)?;
        seq.map_or(Ok(0), |seq| u64::try_from(seq).map_err(|e| CannotAudit(e.to_string())))
    }

    /// Everything, as of one moment.
    pub async fn read(&mut self, run: &Run) -> Result<Tables, CannotAudit> {
        let moment = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let mut moment = self.0.begin_with(moment).await.map_err(failed)?;
        sqlx::query("SET LOCAL TIME ZONE 'UTC'").execute(&mut *moment).await.map_err(failed)?;
        let schema = ident(&run.schema)?;
        let copy =
            format!("SELECT seq, subject, headers, payload, recorded_at, hash FROM {schema}.ledger ORDER BY seq");
        let copy = sqlx::query(AssertSqlSafe(copy)).fetch_all(&mut *moment).await.map_err(failed)?;
        let position = format!("SELECT incarnation, seq, hash FROM {schema}.projections");
        let position = sqlx::query(AssertSqlSafe(position)).fetch_optional(&mut *moment).await.map_err(failed)?;
        let live = models(&mut moment, schema).await?;
        let rebuilt = match &run.rebuilt_schema {
            Some(schema) => Some(models(&mut moment, ident(schema)?).await?),
            None => None,
        };
        Ok(Tables {
            copy: copy.iter().map(copy_row).collect::<Result<_, _>>()?,
            position: position.as_ref().map(position_row).transpose()?,
            live,
            rebuilt,
        })
    }
}

async fn models(db: &mut PgConnection, schema: &str) -> Result<Models, CannotAudit> {
    let mut models = Models::new();
    for table in MODELS {
        let query = format!(
            "SELECT (SELECT jsonb_object_agg(key, value) FROM jsonb_each_text(to_jsonb(r)))::text FROM {schema}.{table} r"
        );
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(&mut *db).await.map_err(failed)?;
        let rows = rows.iter().map(|row| serde_json::from_str::<Row>(row)).collect::<Result<Vec<_>, _>>();
        models.insert(table.to_owned(), rows.map_err(|e| CannotAudit(format!("{table}: {e}")))?);
    }
    Ok(models)
}

fn copy_row(row: &PgRow) -> Result<CopyRow, CannotAudit> {
    Ok(CopyRow {
        seq: seq(row, "seq")?,
        subject: row.try_get("subject").map_err(failed)?,
        headers: row.try_get("headers").map_err(failed)?,
        payload: row.try_get("payload").map_err(failed)?,
        recorded_at: row.try_get("recorded_at").map_err(failed)?,
        hash: hash(row)?,
    })
}

fn position_row(row: &PgRow) -> Result<Position, CannotAudit> {
    Ok(Position { incarnation: row.try_get("incarnation").map_err(failed)?, seq: seq(row, "seq")?, hash: hash(row)? })
}

fn seq(row: &PgRow, name: &str) -> Result<u64, CannotAudit> {
    let seq: i64 = row.try_get(name).map_err(failed)?;
    u64::try_from(seq).map_err(|e| CannotAudit(e.to_string()))
}

fn hash(row: &PgRow) -> Result<B256, CannotAudit> {
    let bytes: Vec<u8> = row.try_get("hash").map_err(failed)?;
    B256::try_from(bytes.as_slice()).map_err(|e| CannotAudit(e.to_string()))
}

/// A schema's name goes into queries as it is.
fn ident(name: &str) -> Result<&str, CannotAudit> {
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    plain.then_some(name).ok_or_else(|| CannotAudit(format!("{name:?} is no schema")))
}

fn failed(error: sqlx::Error) -> CannotAudit {
    CannotAudit(format!("PostgreSQL: {error}"))
}
