//! The providers, and how many of them must say the same. Every call to a node goes through here.
//!
//! [`Providers::one`] asks one, and the next where it does not answer: for what only steers. [`Providers::agreed`] asks
//! two, and answers with what both say: for what settles money. [`Providers::everyone`] asks all, [`Providers::two_or_more`] all and at least two. With a single
//! provider they are the same. Which question is asked how: ARCHITECTURE, section 7.

mod agreement;
mod health;
mod http;
mod node;
mod provider;
mod providers;
mod url;
mod wire;

pub(crate) use agreement::{Answer, reached_by_two};
pub(crate) use node::Node;
pub(crate) use provider::Terms;
pub(crate) use providers::Providers;
pub use url::RpcUrl;
