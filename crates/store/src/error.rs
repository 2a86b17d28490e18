//! Errors of the store, one for each reaction of the caller.

use chrono::{DateTime, Utc};

/// Why the store did not do it. The cause is `source()`, not part of the text.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL or schema name cannot be used. Change the configuration.
    #[error("{0}; a database URL looks like postgres://user:password@127.0.0.1:5432/paymint")]
    Config(String),
    /// Try again later. After a write the outcome is unknown: read the position first.
    #[error("{operation}: the database did not answer in time or went away")]
    Transient {
        /// The operation.
        operation: &'static str,
        /// The database's words.
        #[source]
        source: sqlx::Error,
    },
    /// The tables are there and empty. Try again later: read-projector begins the position at its start.
    #[error("nothing is projected yet: no read-projector has worked on this database")]
    NotBegun,
    /// An event is missing or out of order. Stop: the ledger or its reader has lost something.
    #[error("the ledger continues with sequence {found} where {expected} was next: events are missing")]
    Gap {
        /// The expected sequence.
        expected: u64,
        /// The sequence that came.
        found: u64,
    },
    /// Another projector moved the position. Stop: there is one too many.
    #[error("the position is no longer at sequence {expected}: another projector is active")]
    Fenced {
        /// Where this projector believed it was.
        expected: u64,
    },
    /// The stream was deleted and created again, or is another one. Stop: rebuild into another schema.
    #[error(
        "the ledger was created at {found}, but the read models were built from one created at {stored}: \
         sequences mean something else now; rebuild from sequence 1 into another schema"
    )]
    IncarnationChanged {
        /// Creation time of the stream from which the rows were built.
        stored: DateTime<Utc>,
        /// Creation time of the present stream.
        found: DateTime<Utc>,
    },
    /// The stream holds another event than the copy at this sequence. Stop: the stream lost its tail and went on, or
    /// one of the two was changed.
    #[error("the ledger's event at sequence {seq} is not the one that was copied: one of the two was changed")]
    Diverged {
        /// Where.
        seq: u64,
    },
    /// The content of the tables cannot have been written by this code. Stop: an operator must look.
    #[error("{operation}: {what}")]
    Corrupt {
        /// The operation.
        operation: &'static str,
        /// The defect.
        what: String,
    },
    /// The database refuses: not migrated, no permission, wrong password. Trying again does not help.
    #[error("{operation}: the database refuses")]
    Refused {
        /// The operation.
        operation: &'static str,
        /// The database's words.
        #[source]
        source: sqlx::Error,
    },
}

impl StoreError {
    /// Returns `true` if a later try can succeed.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Transient { .. } | Self::NotBegun)
    }

    /// Translates once what sqlx says while `operation` is under way.
    pub(crate) fn of(operation: &'static str) -> impl Fn(sqlx::Error) -> Self {
        move |source| match class_of(&source) {
            Class::Transient => Self::Transient { operation, source },
            Class::Refused => Self::Refused { operation, source },
            Class::Corrupt => Self::Corrupt { operation, what: source.to_string() },
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Transient,
    Refused,
    Corrupt,
}

fn class_of(error: &sqlx::Error) -> Class {
    match error {
        sqlx::Error::Database(error) => error.code().map_or(Class::Refused, |code| class_of_sqlstate(&code)),
        sqlx::Error::Io(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => Class::Transient,
        sqlx::Error::RowNotFound | sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Class::Corrupt,
        _ => Class::Refused,
    }
}

/// Source: PostgreSQL, appendix A, "PostgreSQL Error Codes".
fn class_of_sqlstate(code: &str) -> Class {
    match code {
        // Read-only: a standby that is about to be promoted. Idle in a transaction for too long: this process was frozen.
        "25006" | "25P03" => Class::Transient,
        // Connection, rollback (serialization, deadlock), resources, lock timeout, operator intervention, I/O.
        _ if ["08", "40", "53", "55", "57", "58"].contains(&&code[..code.len().min(2)]) => Class::Transient,
        // A row that the tables do not allow, or damaged pages: our fold and the schema disagree.
        _ if ["22", "23", "XX"].contains(&&code[..code.len().min(2)]) => Class::Corrupt,
        _ => Class::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::{Class, class_of, class_of_sqlstate};

    #[test]
    fn what_the_database_says_is_translated_once() {
        use Class::{Corrupt, Refused, Transient};
        let table = [
            ("08006", Transient, "connection_failure"),
            ("25006", Transient, "read_only_sql_transaction"),
            ("25P03", Transient, "idle_in_transaction_session_timeout"),
            ("40001", Transient, "serialization_failure (F26)"),
            ("40P01", Transient, "deadlock_detected (F26)"),
            ("53100", Transient, "disk_full"),
            ("53300", Transient, "too_many_connections"),
            ("55P03", Transient, "lock_not_available"),
            ("57014", Transient, "query_canceled: statement timeout"),
            ("57P01", Transient, "admin_shutdown (F26)"),
            ("57P03", Transient, "cannot_connect_now"),
            ("22P05", Corrupt, "untranslatable_character"),
            ("23505", Corrupt, "unique_violation"),
            ("23514", Corrupt, "check_violation"),
            ("XX001", Corrupt, "data_corrupted"),
            ("28P01", Refused, "invalid_password"),
            ("3D000", Refused, "invalid_catalog_name"),
            ("42501", Refused, "insufficient_privilege"),
            ("42P01", Refused, "undefined_table: not migrated"),
            ("", Refused, "no code"),
        ];
        for (code, class, name) in table {
            assert_eq!(class_of_sqlstate(code), class, "{code} {name}");
        }
        assert_eq!(class_of(&sqlx::Error::PoolTimedOut), Transient);
        assert_eq!(class_of(&sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())), Transient);
    }
}
