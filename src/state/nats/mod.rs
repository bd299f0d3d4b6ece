//! The engine that several replicas share: a NATS cluster with JetStream.

pub mod coordinate;
