//! The inbound edge: one concept per file, each a small tower layer.
//!
//! Layers pass an [`Inbound`](crate::call::Inbound) inwards and an [`Outbound`] or a typed
//! [`Error`](crate::error::Error) outwards; [`record`] alone, the outermost, turns an error into a
//! gRPC status. The order of the stack is written and explained in [`crate::server`].

pub mod admission;
pub mod deadline;
pub mod frame;
pub mod http1;
pub mod identity;
pub mod metadata;
pub mod panic;
pub mod quota;
pub mod record;
pub mod secret;
pub mod tls;

/// A response on its way out.
pub type Outbound = http::Response<frame::ReplyBody>;
