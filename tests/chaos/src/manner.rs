//! Manners of buying, those of people who want to harm the shop among them.

/// Kinds of purchases, with their percentage. The others are plain.
pub const MANNERS: [(Manner, u8); 18] = [
    (Manner::SentTwice, 6),
    (Manner::AnewUnderKey, 6),
    (Manner::Penniless, 3),
    (Manner::Free, 12),
    (Manner::Burns, 3),
    (Manner::FromHimself, 4),
    (Manner::FundedLate, 4),
    (Manner::Cancelled, 3),
    (Manner::ThirdParty, 3),
    (Manner::SettledBefore, 2),
    (Manner::AroundToken, 3),
    (Manner::FrontRun, 2),
    (Manner::TakenBefore, 1),
    (Manner::AskedBack, 2),
    (Manner::Rare, 4),
    (Manner::Garbled, 2),
    (Manner::WrongPrice, 2),
    (Manner::FirstGeneration, 20),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// With a v2 header, and nothing else.
    Plain,
    /// With a v1 header.
    FirstGeneration,
    /// One header to both instances concurrently.
    SentTwice,
    /// The whole purchase again, newly signed, under the same `Idempotency-Key`.
    AnewUnderKey,
    /// Without money, and none comes.
    Penniless,
    /// Without money, with a signature that is good for as long as admission accepts. Decided when the load is over.
    Free,
    /// From a wallet that knows its signature in every call and burns the gas in a transaction.
    Burns,
    /// By the creator of the token, who takes the money out again.
    FromHimself,
    /// Without money, which comes later.
    FundedLate,
    /// Cancelled by its payer as soon as it is sent.
    Cancelled,
    /// Somebody else settles the payment through its token, and has it minted.
    ThirdParty,
    /// Somebody else settles the payment through its token before the api sees it.
    SettledBefore,
    /// Somebody else submits the authorization to USDC directly, at the same time as our sender.
    AroundToken,
    /// Somebody else submits the authorization to USDC directly, before our sender can.
    FrontRun,
    /// A front-run like the one above, for units that a stranger takes through the token meanwhile.
    TakenBefore,
    /// Somebody asks for the money back as soon as it is paid, and is as fast as the minter or not.
    AskedBack,
    /// A purchase of a token that is soon sold out.
    Rare,
    /// A header that nobody can read.
    Garbled,
    /// For another price than it is signed for.
    WrongPrice,
}
