//! Several replicas: one pace, one poller, and what one made old forgotten by all.

mod broker;
mod gateways;
mod nats;
