//! *bare*: a tonic server that answers a prebuilt message and does nothing else.
//!
//! What it costs is the floor for any tonic server with this reply.

use std::io;
use std::sync::Arc;

use futures_util::StreamExt;
use tonic::codegen::BoxFuture;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::cork::Cork;
use crate::service::{Server, Unary};
use crate::wire::{ListBalancesRequest, ListBalancesResponse, balances};

struct Prebuilt(ListBalancesResponse);

impl Unary for Prebuilt {
    const SERVICE: &'static str = "qiwi.wallet.v1.BalanceService";
    const PATH: &'static str = "/qiwi.wallet.v1.BalanceService/ListBalances";
    type Request = ListBalancesRequest;
    type Reply = ListBalancesResponse;

    fn call(
        self: Arc<Self>,
        _request: Request<ListBalancesRequest>,
    ) -> BoxFuture<Response<ListBalancesResponse>, Status> {
        Box::pin(async move { Ok(Response::new(self.0.clone())) })
    }
}

/// Serves until the process ends. `corked` gathers writes, see [`crate::cork`].
pub(crate) async fn serve(corked: bool) -> io::Result<()> {
    let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into())?.with_nodelay(Some(true));
    crate::process::announce("grpc", incoming.local_addr()?);
    let server = tonic::transport::Server::builder().add_service(Server::new(Prebuilt(balances())));
    let result = if corked {
        let incoming = incoming.map(|socket| socket.map(Cork::new));
        server.serve_with_incoming(incoming).await
    } else {
        server.serve_with_incoming(incoming).await
    };
    result.map_err(io::Error::other)
}
