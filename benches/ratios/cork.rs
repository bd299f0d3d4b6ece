//! A socket that lets the other tasks go first before it writes.
//!
//! hyper answers every stream in a task of its own, and tokio's worker runs the connection right
//! after the first stream that wakes it: one write per reply, although many are about to be ready.
//! This wrapper gathers what is written and, when asked to flush, steps back once to the end of the
//! run queue. What was ready by then leaves in one write. Used by `bare, corked` to see the effect.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::transport::server::Connected;

/// No more than this is gathered before it is written anyway.
const GATHERED_MAX: usize = 64 * 1024;

/// The wrapped socket.
pub(crate) struct Cork {
    socket: TcpStream,
    gathered: Vec<u8>,
    written: usize,
    stepped_back: bool,
}

impl Cork {
    /// Wraps a socket.
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self { socket, gathered: Vec::with_capacity(GATHERED_MAX), written: 0, stepped_back: false }
    }

    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.gathered.get(self.written..)
            && !rest.is_empty()
        {
            let count = ready!(Pin::new(&mut self.socket).poll_write(context, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
        }
        self.gathered.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Cork {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Cork {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.gathered.len() >= GATHERED_MAX {
            ready!(self.poll_drain(context))?;
        }
        self.gathered.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    // With vectored writes h2 sends every message of 256 bytes or more in a write of its own;
    // without, it copies those below 1 KiB behind each other.
    fn is_write_vectored(&self) -> bool {
        false
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.gathered.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if !self.stepped_back {
            self.stepped_back = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(self.poll_drain(context))?;
        self.stepped_back = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

impl Connected for Cork {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}
