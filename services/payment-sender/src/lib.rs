//! payment-sender
