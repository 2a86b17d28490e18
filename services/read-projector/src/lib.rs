//! read-projector
