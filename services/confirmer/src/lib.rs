//! confirmer
