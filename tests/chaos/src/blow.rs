//! Everything that can go wrong in a run: crash points by name, other blows by their ids in docs/CATALOGUE.md. F22, F25,
//! F55, F61 and F62 happen only here and have no line there.

use harness::Service::{self, Api, Confirmer, MintProjector, Operator, PaymentSender, ReadProjector};
use runtime::failpoint::{self, CrashPoint};
use std::fmt;

/// Steps of a track follow each other; the two tracks do not wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track {
    Processes,
    Neighbours,
}

/// One kind of misfortune.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// Both instances of this service die of SIGKILL at this crash point.
    Crash(Service, CrashPoint),
    /// A rebuild of the read models is killed half way.
    C26Rebuild,
    /// Both instances of the api are killed, one after the other, under open event streams.
    C27Streams,
    /// SIGTERM to one process of each service.
    C29Terminate,
    /// Every process, nats-server and PostgreSQL are killed at once.
    C30Everything,
    /// A process is stopped as it stands, and wakes up among its successors.
    F52Zombie(Service),
    /// Each process is killed in turn.
    F53Rolling,
    /// Every process gets little of the processors.
    F55Starved,
    Nats(NatsFault),
    Postgres(PostgresFault),
    Node(NodeFault),
    Chain(ChainFault),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatsFault {
    F01Away,
    F02Killed,
    F03Frozen,
    F04Slow,
    F05AnswersCut,
    F06HalfOpen,
    F07Full,
    F09RequestsCut,
    F17ConsumerGone,
    F18Cut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostgresFault {
    C25AnswersCut,
    F21Away,
    F22ReadOnly,
    F23Locked,
    F24Exhausted,
    F25OlderData,
    F26Terminated,
}

/// One provider or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeFault {
    F28Gone,
    F29Limited,
    F30AnswersLost,
    F31Garbled,
    F32NonceTooLow,
    F33StrictPool,
    F34Behind,
    F35Nulls,
    F36Lies,
    F37OtherChain,
    F43Forgets,
    F45Withholds,
    F49Logs,
    F51Fees,
    /// Refuses transactions in the words of some client.
    F61Words,
    /// Has lost a block or a state that a question is about.
    F62NoState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainFault {
    F38Reorg,
    F40DeepReorg,
    F42FeeSpike,
    F44StolenKey,
    F46Halt,
    F47TimeJump,
    F48NoGasMoney,
    F50Paused,
}

/// One row: the blow, its name, and how long it stands, milliseconds from and to.
struct Row(Blow, &'static str, (u64, u64));

/// A crash point needs the time until a process passes it.
const CRASH_MS: (u64, u64) = (2_000, 4_000);

const fn crash(service: Service, point: CrashPoint, lasts_ms: (u64, u64)) -> Row {
    Row(Blow::Crash(service, point), point.name(), lasts_ms)
}

/// Every blow. The README lists the faults that are missing here, with the reasons.
const ROWS: [Row; 76] = [
    crash(Api, failpoint::ORDER_CHECKED_NOT_APPENDED, CRASH_MS),
    crash(Api, failpoint::ORDER_APPEND_NOT_ANSWERED, CRASH_MS),
    crash(Api, failpoint::ORDER_APPENDED_NOT_ACCEPTED, CRASH_MS),
    crash(PaymentSender, failpoint::BATCH_TAKEN_NOT_SIGNED, CRASH_MS),
    crash(PaymentSender, failpoint::SIGNED_NOT_BROADCAST, CRASH_MS),
    crash(PaymentSender, failpoint::AFTER_BROADCAST, CRASH_MS),
    crash(PaymentSender, failpoint::BATCH_SENT_NOT_ACKED, CRASH_MS),
    crash(PaymentSender, failpoint::REPLACEMENT_NOT_BROADCAST, (4_000, 6_000)),
    crash(Confirmer, failpoint::RECEIPT_SEEN_NOT_CONFIRMED, CRASH_MS),
    crash(Confirmer, failpoint::PAYMENTS_DECIDED_NOT_APPENDED, CRASH_MS),
    crash(Confirmer, failpoint::PAYMENTS_APPENDED_NOT_ACKED, CRASH_MS),
    crash(Confirmer, failpoint::WAITING_PAYMENT_HALF_JUDGED, CRASH_MS),
    crash(MintProjector, failpoint::BATCH_SENT_NOT_ACKED, CRASH_MS),
    crash(MintProjector, failpoint::BATCH_TAKEN_NOT_SIGNED, CRASH_MS),
    crash(MintProjector, failpoint::SIGNED_NOT_BROADCAST, CRASH_MS),
    crash(MintProjector, failpoint::AFTER_BROADCAST, CRASH_MS),
    crash(Confirmer, failpoint::MINTS_DECIDED_NOT_APPENDED, CRASH_MS),
    crash(Confirmer, failpoint::MINTS_APPENDED_NOT_ACKED, CRASH_MS),
    crash(Operator, failpoint::BATCH_TAKEN_NOT_SIGNED, CRASH_MS),
    crash(Operator, failpoint::SIGNED_NOT_BROADCAST, CRASH_MS),
    crash(Operator, failpoint::AFTER_BROADCAST, CRASH_MS),
    crash(Operator, failpoint::BATCH_SENT_NOT_ACKED, CRASH_MS),
    crash(Confirmer, failpoint::REFUNDS_DECIDED_NOT_APPENDED, CRASH_MS),
    crash(Confirmer, failpoint::REFUNDS_APPENDED_NOT_ACKED, CRASH_MS),
    crash(ReadProjector, failpoint::ROWS_COMMITTED, CRASH_MS),
    Row(Blow::C26Rebuild, "C26", (2_000, 3_000)),
    Row(Blow::C27Streams, "C27", (1_000, 3_000)),
    Row(Blow::C29Terminate, "C29", (2_000, 4_000)),
    Row(Blow::C30Everything, "C30", (0, 3_000)),
    Row(Blow::F52Zombie(PaymentSender), "F52 payment-sender", (5_000, 9_000)),
    Row(Blow::F52Zombie(MintProjector), "F52 mint-projector", (5_000, 9_000)),
    Row(Blow::F52Zombie(Confirmer), "F52 confirmer", (5_000, 9_000)),
    Row(Blow::F52Zombie(Operator), "F52 operator", (5_000, 9_000)),
    Row(Blow::F53Rolling, "F53", (4_000, 6_000)),
    Row(Blow::F55Starved, "F55", (3_000, 5_000)),
    Row(Blow::Nats(NatsFault::F01Away), "F01", (1_000, 5_000)),
    Row(Blow::Nats(NatsFault::F02Killed), "F02", (0, 0)),
    Row(Blow::Nats(NatsFault::F03Frozen), "F03", (2_000, 6_000)),
    Row(Blow::Nats(NatsFault::F04Slow), "F04", (3_000, 5_000)),
    Row(Blow::Nats(NatsFault::F05AnswersCut), "F05", (3_000, 5_000)),
    Row(Blow::Nats(NatsFault::F06HalfOpen), "F06", (10_000, 11_000)),
    Row(Blow::Nats(NatsFault::F07Full), "F07", (1_000, 3_000)),
    Row(Blow::Nats(NatsFault::F09RequestsCut), "F09", (3_000, 4_000)),
    Row(Blow::Nats(NatsFault::F17ConsumerGone), "F17", (1_000, 3_000)),
    Row(Blow::Nats(NatsFault::F18Cut), "F18", (2_000, 3_000)),
    Row(Blow::Postgres(PostgresFault::C25AnswersCut), "C25", (2_000, 4_000)),
    Row(Blow::Postgres(PostgresFault::F21Away), "F21", (0, 4_000)),
    Row(Blow::Postgres(PostgresFault::F22ReadOnly), "F22", (2_000, 3_000)),
    Row(Blow::Postgres(PostgresFault::F23Locked), "F23", (2_000, 4_000)),
    Row(Blow::Postgres(PostgresFault::F24Exhausted), "F24", (2_000, 3_000)),
    Row(Blow::Postgres(PostgresFault::F25OlderData), "F25", (1_000, 3_000)),
    Row(Blow::Postgres(PostgresFault::F26Terminated), "F26", (2_000, 3_000)),
    Row(Blow::Node(NodeFault::F28Gone), "F28", (2_000, 5_000)),
    Row(Blow::Node(NodeFault::F29Limited), "F29", (2_000, 3_000)),
    Row(Blow::Node(NodeFault::F30AnswersLost), "F30", (3_000, 5_000)),
    Row(Blow::Node(NodeFault::F31Garbled), "F31", (3_000, 5_000)),
    Row(Blow::Node(NodeFault::F32NonceTooLow), "F32", (2_000, 4_000)),
    Row(Blow::Node(NodeFault::F33StrictPool), "F33", (4_000, 6_000)),
    Row(Blow::Node(NodeFault::F34Behind), "F34", (3_000, 5_000)),
    Row(Blow::Node(NodeFault::F35Nulls), "F35", (3_000, 5_000)),
    Row(Blow::Node(NodeFault::F36Lies), "F36", (3_000, 4_000)),
    Row(Blow::Node(NodeFault::F37OtherChain), "F37", (2_000, 4_000)),
    Row(Blow::Node(NodeFault::F43Forgets), "F43", (2_000, 4_000)),
    Row(Blow::Node(NodeFault::F45Withholds), "F45", (4_000, 10_000)),
    Row(Blow::Node(NodeFault::F49Logs), "F49", (2_000, 4_000)),
    Row(Blow::Node(NodeFault::F51Fees), "F51", (2_000, 4_000)),
    Row(Blow::Node(NodeFault::F61Words), "F61", (3_000, 5_000)),
    Row(Blow::Node(NodeFault::F62NoState), "F62", (2_000, 4_000)),
    Row(Blow::Chain(ChainFault::F38Reorg), "F38", (0, 0)),
    Row(Blow::Chain(ChainFault::F40DeepReorg), "F40", (0, 0)),
    Row(Blow::Chain(ChainFault::F42FeeSpike), "F42", (0, 2_000)),
    Row(Blow::Chain(ChainFault::F44StolenKey), "F44", (0, 0)),
    Row(Blow::Chain(ChainFault::F46Halt), "F46", (6_000, 12_000)),
    Row(Blow::Chain(ChainFault::F47TimeJump), "F47", (0, 0)),
    Row(Blow::Chain(ChainFault::F48NoGasMoney), "F48", (3_000, 5_000)),
    Row(Blow::Chain(ChainFault::F50Paused), "F50", (2_000, 4_000)),
];

/// The blows of [`ROWS`].
pub const ALL: [Blow; ROWS.len()] = {
    let mut all = [Blow::C26Rebuild; ROWS.len()];
    let mut n = 0;
    while n < ROWS.len() {
        all[n] = ROWS[n].0;
        n += 1;
    }
    all
};

impl Blow {
    pub fn track(self) -> Track {
        match self {
            Self::Nats(_) | Self::Postgres(_) | Self::Node(_) | Self::Chain(_) => Track::Neighbours,
            Self::Crash(..)
            | Self::C26Rebuild
            | Self::C27Streams
            | Self::C29Terminate
            | Self::C30Everything
            | Self::F52Zombie(_)
            | Self::F53Rolling
            | Self::F55Starved => Track::Processes,
        }
    }

    /// How long it stands, from and to.
    pub fn lasts_ms(self) -> (u64, u64) {
        self.row().2
    }

    fn row(self) -> &'static Row {
        ROWS.iter().find(|row| row.0 == self).unwrap()
    }
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().1)?;
        // Two services share some of the crash points.
        if let Self::Crash(service, _) = self {
            write!(f, " {}", service.name())?;
        }
        Ok(())
    }
}
