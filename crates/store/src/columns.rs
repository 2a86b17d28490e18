//! Many rows in one statement: a type with one line for each column, and the statements that write and read its rows.
//!
//! People and comparisons use the views `…_rows`, which have one spelling of every value. The fold does not, because
//! PostgreSQL takes four times as long for a row in JSON as for one in arrays (24 and 6 microseconds for a payment).

use alloy_primitives::{Address, B256};
use chrono::{DateTime, Utc};
use domain::event::{Actor, RefundReason};
use domain::order::LegState;
use domain::{PaymentId, PaymentKey, Quantity, RecordStage, Stage, Usdc};
use serde::de::IntoDeserializer;
use serde::de::value::Error as NoSuchName;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgArguments, PgHasArrayType, PgRow};
use sqlx::query::Query;
use sqlx::{Decode, Encode, Postgres, Row, Type};
use std::error::Error;
use std::str::FromStr;
use uuid::Uuid;

/// The type in which a column's value is sent to PostgreSQL.
pub(crate) trait Wire:
    Type<Postgres> + PgHasArrayType + for<'a> Encode<'a, Postgres> + for<'a> Decode<'a, Postgres> + Send + 'static
{
}
impl<T> Wire for T where
    T: Type<Postgres> + PgHasArrayType + for<'a> Encode<'a, Postgres> + for<'a> Decode<'a, Postgres> + Send + 'static
{
}

/// A value of the database that this type cannot have.
type NotAValue = Box<dyn Error + Send + Sync>;

/// A type that a column can have.
pub(crate) trait Column: Sized {
    /// PostgreSQL's name for [`Column::Wire`].
    const WIRE: &'static str;
    /// The cast of a value that was sent, to be written.
    const WRITTEN: &'static str = "";
    /// The cast of a column, to be read.
    const READ: &'static str = "";
    type Wire: Wire;

    fn to_wire(&self) -> Self::Wire;

    fn from_wire(wire: Self::Wire) -> Result<Self, NotAValue>;
}

/// Name and casts of a column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spelling {
    name: &'static str,
    wire: &'static str,
    written: &'static str,
    read: &'static str,
}

impl Spelling {
    pub(crate) const fn of<T: Column>(name: &'static str) -> Self {
        Self { name, wire: T::WIRE, written: T::WRITTEN, read: T::READ }
    }
}

/// A statement under construction.
pub(crate) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// A row of a table, declared by [`table!`](crate::columns::table). The first column is the key, and `last_seq` tells
/// which of two versions of a row is later.
pub(crate) trait Table: Sized {
    const NAME: &'static str;
    const COLUMNS: &'static [Spelling];
    /// Columns that are written with the row and never updated.
    const FIXED: &'static [&'static str];

    /// Binds each column of `rows` as one array.
    fn bind<'q>(rows: &[&Self], statement: Statement<'q>) -> Statement<'q>;

    fn read(row: &PgRow) -> Result<Self, sqlx::Error>;

    /// Reads the rows whose keys are in the array `$1`.
    fn select() -> String {
        let columns = list(Self::COLUMNS, |column| format!("{}{} AS {}", column.name, column.read, column.name));
        let (table, key) = (Self::NAME, Self::COLUMNS[0]);
        format!("SELECT {columns} FROM {table} WHERE {} = ANY($1::{}[])", key.name, key.wire)
    }

    /// Writes rows that are new or later than those in the table.
    fn upsert() -> String {
        let (table, key) = (Self::NAME, Self::COLUMNS[0].name);
        let names = list(Self::COLUMNS, |column| column.name.to_owned());
        let values = list(Self::COLUMNS, |column| format!("{}{}", column.name, column.written));
        let changing: Vec<Spelling> =
            Self::COLUMNS.iter().filter(|column| !Self::FIXED.contains(&column.name)).copied().collect();
        let changes = list(&changing, |column| format!("{} = EXCLUDED.{}", column.name, column.name));
        let arrays: Vec<String> =
            (1..).zip(Self::COLUMNS).map(|(number, column)| format!("${number}::{}[]", column.wire)).collect();
        let arrays = arrays.join(", ");
        format!(
            "INSERT INTO {table} AS known ({names}) SELECT {values} FROM UNNEST({arrays}) AS sent ({names}) \
             ON CONFLICT ({key}) DO UPDATE SET {changes} WHERE known.last_seq < EXCLUDED.last_seq"
        )
    }
}

fn list(columns: &[Spelling], spell: impl Fn(&Spelling) -> String) -> String {
    columns.iter().map(spell).collect::<Vec<_>>().join(", ")
}

/// The value of a column.
pub(crate) fn value<T: Column>(row: &PgRow, name: &str) -> Result<T, sqlx::Error> {
    let refused = |source| sqlx::Error::ColumnDecode { index: name.to_owned(), source };
    T::from_wire(row.try_get(name)?).map_err(refused)
}

/// Declares a struct whose fields are the columns of a table, and implements [`Table`] for it.
macro_rules! table {
    ($(#[$meta:meta])* pub struct $name:ident of $table:literal, fixed: [$($fixed:ident),+ $(,)?] {
        $($(#[$of:meta])* pub $column:ident: $type:ty,)+
    }) => {
        $(#[$meta])*
        pub struct $name { $($(#[$of])* pub $column: $type,)+ }

        impl $crate::columns::Table for $name {
            const NAME: &'static str = $table;
            const COLUMNS: &'static [$crate::columns::Spelling] =
                &[$($crate::columns::Spelling::of::<$type>(stringify!($column))),+];
            const FIXED: &'static [&'static str] = &[$(stringify!($fixed)),+];

            fn bind<'q>(rows: &[&Self], statement: $crate::columns::Statement<'q>) -> $crate::columns::Statement<'q> {
                statement$(.bind(
                    rows.iter().map(|row| $crate::columns::Column::to_wire(&row.$column)).collect::<Vec<_>>(),
                ))+
            }

            fn read(row: &sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
                Ok(Self { $($column: $crate::columns::value(row, stringify!($column))?,)+ })
            }
        }
    };
}
pub(crate) use table;

impl<T: Column> Column for Option<T> {
    const WIRE: &'static str = T::WIRE;
    const WRITTEN: &'static str = T::WRITTEN;
    const READ: &'static str = T::READ;
    type Wire = Option<T::Wire>;

    fn to_wire(&self) -> Self::Wire {
        self.as_ref().map(T::to_wire)
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, NotAValue> {
        wire.map(T::from_wire).transpose()
    }
}

/// Implements [`Column`] for `$type`, which is sent as `$wire`. The last two arguments convert to it and from it.
macro_rules! column {
    ($type:ty, $wire:ty = $name:literal $(($written:literal, $read:literal))?, $to:expr, $from:expr) => {
        impl Column for $type {
            const WIRE: &'static str = $name;
            $(const WRITTEN: &'static str = $written;
            const READ: &'static str = $read;)?
            type Wire = $wire;

            fn to_wire(&self) -> $wire {
                $to(self)
            }

            fn from_wire(wire: $wire) -> Result<Self, NotAValue> {
                $from(wire)
            }
        }
    };
}

column!(PaymentId, Uuid = "uuid", |id: &Self| id.0, |id| Ok(Self(id)));
column!(Address, Vec<u8> = "bytea", |value: &Self| value.to_vec(), |bytes: Vec<u8>| Ok(Self::try_from(&*bytes)?));
column!(B256, Vec<u8> = "bytea", |value: &Self| value.to_vec(), |bytes: Vec<u8>| Ok(Self::try_from(&*bytes)?));
column!(PaymentKey, Vec<u8> = "bytea", |key: &Self| key.0.to_vec(), |bytes| B256::from_wire(bytes).map(Self));
column!(String, String = "text", Self::clone, Ok);
column!(DateTime<Utc>, DateTime<Utc> = "timestamptz", Self::clone, Ok);
column!(u8, i16 = "smallint", |value: &Self| i16::from(*value), |value| Ok(Self::try_from(value)?));
column!(u32, i64 = "bigint", |value: &Self| i64::from(*value), |value| Ok(Self::try_from(value)?));
column!(Quantity, i64 = "bigint", |units: &Self| i64::from(units.get()), |units: i64| {
    Self::new(u32::try_from(units)?).ok_or_else(|| "no units".into())
});
// Sent as text and cast to numeric: bigint ends at 2^63 - 1.
column!(u64, String = "text"("::numeric", "::text"), Self::to_string, |text: String| Ok(Self::from_str(&text)?));
column!(u128, String = "text"("::numeric", "::text"), Self::to_string, |text: String| Ok(Self::from_str(&text)?));
column!(Usdc, String = "text"("::numeric", "::text"), |value: &Self| value.0.to_string(), |text| {
    u64::from_wire(text).map(Self)
});
// An array of arrays would be flattened.
column!(Vec<u64>, String = "text"("::bigint[]", "::text"), |numbers: &Self| braced(numbers), |text: String| {
    let numbers = text.trim_matches(['{', '}']).split(',').filter(|number| !number.is_empty());
    Ok(numbers.map(u64::from_str).collect::<Result<_, _>>()?)
});
// Names as in the views.
column!(Stage, String = "text", name, named);
column!(LegState, String = "text", name, named);
column!(Actor, String = "text", name, named);
column!(RecordStage, String = "text", name, named);
column!(RefundReason, String = "text", name, named);

fn braced(numbers: &[u64]) -> String {
    format!("{{{}}}", numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(","))
}

/// The name of a value without data. Of another value there is none, and the column refuses the empty text.
fn name<T: Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

fn named<'de, T: Deserialize<'de>>(name: String) -> Result<T, NotAValue> {
    T::deserialize(IntoDeserializer::<NoSuchName>::into_deserializer(name)).map_err(Into::into)
}
