//! The HTTP clients *plain* can use, from the most comfortable to the leanest.
//!
//! `reqwest` is the reference. `legacy` is the pooled client reqwest itself is built on. `pool` is
//! hyper's bare connection behind a list of idle ones. `socket` has no HTTP library except the head
//! parser: no connection task, no channels, one buffer; a lower bound, not a proposal.

use std::error::Error;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Fault = Box<dyn Error + Send + Sync>;

/// A client bound to one upstream.
#[derive(Clone)]
pub(crate) struct Client {
    base: Arc<str>,
    authority: Arc<str>,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Reqwest(reqwest::Client),
    Legacy(Box<legacy::Client<legacy::connect::HttpConnector, Empty<Bytes>>>),
    Pool(Arc<Mutex<Vec<SendRequest<Empty<Bytes>>>>>),
    Socket(Arc<Mutex<Vec<TcpStream>>>),
}

impl Client {
    /// The client called `name` for the upstream at `authority`.
    pub(crate) fn named(name: &str, authority: &str) -> io::Result<Self> {
        let kind = match name {
            "reqwest" => {
                // Without a default provider reqwest refuses to build; an earlier one is as good.
                let _earlier = rustls::crypto::ring::default_provider().install_default();
                Kind::Reqwest(reqwest::Client::builder().build().map_err(io::Error::other)?)
            }
            "legacy" => {
                Kind::Legacy(Box::new(legacy::Client::builder(TokioExecutor::new()).build_http()))
            }
            "pool" => Kind::Pool(Arc::default()),
            "socket" => Kind::Socket(Arc::default()),
            other => return Err(io::Error::other(format!("no client is called {other}"))),
        };
        Ok(Self { base: format!("http://{authority}").into(), authority: authority.into(), kind })
    }

    /// Reads a path with the caller's `authorization` value.
    pub(crate) async fn get(&self, path: &str, authorization: &str) -> Result<Bytes, Fault> {
        match &self.kind {
            Kind::Reqwest(client) => {
                let reply = client
                    .get(format!("{}{path}", self.base))
                    .header("authorization", authorization)
                    .header("accept", "application/json")
                    .send()
                    .await?
                    .error_for_status()?;
                Ok(reply.bytes().await?)
            }
            Kind::Legacy(client) => {
                let request = self.request(format!("{}{path}", self.base), authorization)?;
                collect(client.request(request).await?).await
            }
            Kind::Pool(idle) => {
                let mut connection = match self.idle(idle) {
                    Some(connection) => connection,
                    None => self.connect().await?,
                };
                let request = self.request(path.to_owned(), authorization)?;
                let body = collect(connection.send_request(request).await?).await?;
                idle.lock().push(connection);
                Ok(body)
            }
            Kind::Socket(idle) => {
                let free = idle.lock().pop();
                let mut socket = match free {
                    Some(socket) => socket,
                    None => {
                        let socket = TcpStream::connect(&*self.authority).await?;
                        socket.set_nodelay(true)?;
                        socket
                    }
                };
                let head = format!(
                    "GET {path} HTTP/1.1\r\nhost: {}\r\nauthorization: {authorization}\r\naccept: application/json\r\n\r\n",
                    self.authority
                );
                socket.write_all(head.as_bytes()).await?;
                let body = read_reply(&mut socket).await?;
                idle.lock().push(socket);
                Ok(body)
            }
        }
    }

    fn idle(
        &self,
        idle: &Mutex<Vec<SendRequest<Empty<Bytes>>>>,
    ) -> Option<SendRequest<Empty<Bytes>>> {
        let mut idle = idle.lock();
        while let Some(connection) = idle.pop() {
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>, Fault> {
        let socket = TcpStream::connect(&*self.authority).await?;
        socket.set_nodelay(true)?;
        let (connection, driver) = handshake(TokioIo::new(socket)).await?;
        tokio::spawn(driver);
        Ok(connection)
    }

    fn request(&self, uri: String, token: &str) -> Result<http::Request<Empty<Bytes>>, Fault> {
        Ok(http::Request::get(uri)
            .header("host", &*self.authority)
            .header("authorization", token)
            .header("accept", "application/json")
            .body(Empty::new())?)
    }
}

async fn collect(reply: http::Response<hyper::body::Incoming>) -> Result<Bytes, Fault> {
    if !reply.status().is_success() {
        return Err(format!("the upstream answered {}", reply.status()).into());
    }
    Ok(reply.into_body().collect().await?.to_bytes())
}

async fn read_reply(socket: &mut TcpStream) -> Result<Bytes, Fault> {
    let mut input = Vec::with_capacity(8 * 1024);
    loop {
        if socket.read_buf(&mut input).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if let Some((status, start, length)) = crate::http1::head(&input)
            && input.len() >= start + length
        {
            if status != 200 {
                return Err(format!("the upstream answered {status}").into());
            }
            return Ok(Bytes::from(input).slice(start..start + length));
        }
    }
}
