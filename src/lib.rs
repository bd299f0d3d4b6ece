//! x
pub mod admin;
pub mod telemetry;
