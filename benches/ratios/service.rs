//! A unary gRPC service as tonic's code generator would write it.
//!
//! Same boxes, same codec, same checks per call, so a reference costs what a generated server
//! costs; only the number of methods differs.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use tonic::codegen::{Body, BoxFuture, Service, StdError, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};

/// One unary method and its handler.
pub(crate) trait Unary: Send + Sync + 'static {
    /// Full service name.
    const SERVICE: &'static str;
    /// Path of the method.
    const PATH: &'static str;
    /// Request message.
    type Request: prost::Message + Default + Send + 'static;
    /// Reply message.
    type Reply: prost::Message + Default + Send + 'static;

    /// Answers one call; boxed, as `async_trait` does it in generated code.
    fn call(
        self: Arc<Self>,
        request: Request<Self::Request>,
    ) -> BoxFuture<Response<Self::Reply>, Status>;
}

/// The server around one method.
pub(crate) struct Server<U> {
    inner: Arc<U>,
}

impl<U> Server<U> {
    /// Wraps a handler.
    pub(crate) fn new(inner: U) -> Self {
        Self { inner: Arc::new(inner) }
    }
}

impl<U> Clone for Server<U> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<U: Unary> NamedService for Server<U> {
    const NAME: &'static str = U::SERVICE;
}

struct Method<U>(Arc<U>);

impl<U: Unary> UnaryService<U::Request> for Method<U> {
    type Response = U::Reply;
    type Future = BoxFuture<Response<Self::Response>, Status>;

    fn call(&mut self, request: Request<U::Request>) -> Self::Future {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.call(request).await })
    }
}

impl<U, B> Service<http::Request<B>> for Server<U>
where
    U: Unary,
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        if request.uri().path() == U::PATH {
            let inner = Arc::clone(&self.inner);
            Box::pin(async move {
                let codec = tonic_prost::ProstCodec::default();
                let mut grpc = Grpc::new(codec)
                    .apply_compression_config(Default::default(), Default::default())
                    .apply_max_message_size_config(None, None);
                Ok(grpc.unary(Method(inner), request).await)
            })
        } else {
            Box::pin(async move { Ok(Status::unimplemented("").into_http()) })
        }
    }
}
