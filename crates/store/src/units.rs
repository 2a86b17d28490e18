//! The counters of a token that units can be in.

/// The counters of a token that the units of an order or a record are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnitsIn {
    pub taken: bool,
    pub paid: bool,
    pub minted: bool,
}

impl UnitsIn {
    /// In none of them.
    pub const NONE: Self = Self { taken: false, paid: false, minted: false };
}
