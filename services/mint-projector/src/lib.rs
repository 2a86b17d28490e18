//! mint-projector
