//! ops: an operator's commands. It runs when it is called, and nothing waits for it.

use clap::{Args, Parser, Subcommand};
use domain::PaymentId;
use ledger::{Ledger, LedgerConfig};
use ops::{
    ParkedName, RedriveAsked, Refilled, RefundAsked, Setup, parked_list, parked_show, ready, redrive, refill, refund,
    resume,
};
use runtime::{Env, Fatal};

#[derive(Parser)]
#[command(name = "ops", version, about = "Operates Paymint; where the neighbours are is read from the environment")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Migrates the database at DATABASE_URL and provisions the ledger at NATS_URL. Running it again changes nothing.
    Setup,
    /// Asks a health address such as http://127.0.0.1:8101/readyz. The exit code is 0 if the answer is 200.
    Ready {
        /// The address to ask.
        url: String,
    },
    /// Fills the empty NATS server at NATS_URL with the copy of the ledger in DATABASE_URL. All services must be stopped.
    Refill(Old),
    /// Ends a stop of the payouts, after an operator has looked.
    Resume {
        /// The operator's name.
        #[arg(long)]
        by: String,
        /// The reason why it is safe, at most 200 characters.
        #[arg(long)]
        detail: String,
    },
    /// Asks for the refund of an order that is charged and not minted. The service `operator` returns the money.
    Refund {
        /// The order: its paymentQueueId.
        id: PaymentId,
        /// The operator's name.
        #[arg(long)]
        by: String,
        /// The reason, at most 200 characters.
        #[arg(long)]
        why: String,
    },
    /// Shows what was given up or is parked, and has it tried once more.
    #[command(subcommand)]
    Parked(ParkedVerb),
}

#[derive(Subcommand)]
enum ParkedVerb {
    /// Lists messages that a service gave up, and parked payments, mints and refunds.
    List,
    /// Shows one of them.
    Show {
        /// Its name in the list.
        name: ParkedName,
    },
    /// Has it handled once more by the service concerned, after its cause is gone.
    Redrive {
        /// Its name in the list.
        name: ParkedName,
        /// The operator's name.
        #[arg(long)]
        by: String,
        /// The reason, at most 200 characters.
        #[arg(long)]
        why: String,
    },
}

#[derive(Args)]
struct Old {
    /// The damaged ledger, served on another port: orders that it accepted and that are not in the copy are carried
    /// over.
    #[arg(long, env, requires = "old_nats_monitor_url", value_name = "nats://ops:password@127.0.0.1:5222")]
    old_nats_url: Option<String>,
    /// Its monitor.
    #[arg(long, env, requires = "old_nats_url", value_name = "http://127.0.0.1:9222")]
    old_nats_monitor_url: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Fatal> {
    let arguments = Arguments::parse();
    runtime::telemetry();
    let env = Env::process();
    match arguments.verb {
        Verb::Setup => Setup::from_env(&env)?.apply(say).await?,
        Verb::Ready { url } => ready(&url).await?,
        Verb::Refill(old) => {
            let config = LedgerConfig::from_env(&env)?;
            let store = Setup::from_env(&env)?.open_store().await?;
            let old = match (old.old_nats_url, old.old_nats_monitor_url) {
                (Some(url), Some(monitor_url)) => {
                    Some(Ledger::connect(&LedgerConfig { url, monitor_url }, ops::SOURCE).await?)
                }
                _ => None,
            };
            tell(&refill(&config, &store, old.as_ref()).await?);
        }
        Verb::Resume { by, detail } => match resume(&LedgerConfig::from_env(&env)?, &by, &detail).await? {
            Some(n) => say(&format!("ops.stopped.{n} is ended: payouts go on within two seconds")),
            None => say("the ledger has no stop; a service that is still stopped has found damage itself: restart it"),
        },
        Verb::Refund { id, by, why } => match refund(&LedgerConfig::from_env(&env)?, id, &by, &why).await? {
            RefundAsked::Now => {
                say(&format!("refund.requested is written for {id}: nothing is minted for it from now on"))
            }
            RefundAsked::Before(stage) => {
                say(&format!("nothing to do for {id}: it was asked for before, and is {}", stage.name()))
            }
        },
        Verb::Parked(verb) => parked(&LedgerConfig::from_env(&env)?, verb).await?,
    }
    Ok(())
}

async fn parked(config: &LedgerConfig, verb: ParkedVerb) -> Result<(), Fatal> {
    match verb {
        ParkedVerb::List => {
            let items = parked_list(config).await?;
            items.iter().for_each(|item| say(&item.to_string()));
            say(&format!("{} wait for a person", items.len()));
        }
        ParkedVerb::Show { name } => say(&parked_show(config, &name).await?.to_string()),
        ParkedVerb::Redrive { name, by, why } => match redrive(config, &name, &by, &why).await? {
            RedriveAsked::Now(event) => say(&format!("{event} is written: {name} is tried once more")),
            RedriveAsked::Before => {
                say(&format!("nothing to do for {name}: it was redriven, and was not given up since"))
            }
        },
    }
    Ok(())
}

fn tell(refilled: &Refilled) {
    say(&format!("the ledger is open: {} events from the copy, each in its place", refilled.events));
    for added in &refilled.added {
        say(&format!("carried over: {added}"));
    }
    for left in &refilled.left {
        say(&format!("not carried over, what follows from the others is decided anew: {left}"));
    }
    if !refilled.changed.is_empty() {
        say(&format!("stored with one header more than in the copy: {:?}", refilled.changed));
        say("the tables do not fit this ledger: give read-projector and api a new DATABASE_SCHEMA");
    }
}

#[allow(clippy::print_stdout)]
fn say(line: &str) {
    println!("{line}");
}
