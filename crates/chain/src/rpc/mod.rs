//! The providers, and the number of them that must agree. Every call to a node goes through this module.
//!
//! [`Providers::one`] asks one provider, and the next if it does not answer: for decisions that can be corrected later.
//! [`Providers::agreed`] asks until two answers are equal: for everything that settles money. [`Providers::everyone`]
//! asks all, [`Providers::two_or_more`] asks all and needs two answers. With a single provider they are the same. The
//! README of this crate lists which question is asked in which way.

mod agreement;
mod answers;
mod health;
mod http;
mod node;
mod provider;
mod providers;
mod url;
mod wire;

pub(crate) use agreement::{QuorumAnswer, reached_by_two};
pub use answers::{Head, Included, Presence};
pub(crate) use node::Node;
pub(crate) use provider::ProviderRequirements;
pub(crate) use providers::Providers;
pub use url::RpcUrl;
