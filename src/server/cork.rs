//! A socket that gathers what many calls write and sends it at once.
//!
//! hyper answers every call in a task of its own, and tokio runs the connection's task right after
//! the first call that wakes it: under load that is one system call per reply although many are
//! about to be ready, and half of a cached read's CPU time. This wrapper keeps what is written and,
//! when asked to flush, steps once to the end of the run queue; what became ready meanwhile leaves
//! in the same write. An idle server's queue is empty, so a lone reply leaves at once.
//!
//! Vectored writes are switched off because h2 then sends every message above 256 bytes in a write
//! of its own; without them it copies those below 1 KiB behind each other.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// No more than this is gathered before it is written anyway.
const GATHERED_MAX: usize = 64 * 1024;
/// Buffers above this are given back when they run empty, so that idle connections stay small.
const KEPT_MAX: usize = 4 * 1024;
/// Pieces from here on are not worth copying.
const DIRECT_MIN: usize = 16 * 1024;

/// The wrapped socket.
pub struct Cork<S> {
    socket: S,
    gathered: Vec<u8>,
    written: usize,
    stepped_back: bool,
}

impl<S: AsyncWrite + Unpin> Cork<S> {
    /// Wraps a socket; allocates nothing.
    pub fn new(socket: S) -> Self {
        Self { socket, gathered: Vec::new(), written: 0, stepped_back: false }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.gathered.get(self.written..)
            && !rest.is_empty()
        {
            let count = ready!(Pin::new(&mut self.socket).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
        }
        self.written = 0;
        if self.gathered.capacity() > KEPT_MAX {
            self.gathered = Vec::new();
        } else {
            self.gathered.clear();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Cork<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cork<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.gathered.len() >= GATHERED_MAX
            || (bytes.len() >= DIRECT_MIN && !self.gathered.is_empty())
        {
            ready!(self.poll_drain(cx))?;
        }
        if bytes.len() >= DIRECT_MIN {
            return Pin::new(&mut self.socket).poll_write(cx, bytes);
        }
        self.gathered.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn is_write_vectored(&self) -> bool {
        false
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.gathered.is_empty() {
            return Pin::new(&mut self.socket).poll_flush(cx);
        }
        if !self.stepped_back {
            self.stepped_back = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(self.poll_drain(cx))?;
        self.stepped_back = false;
        // TLS keeps what the socket did not take; a socket has nothing to flush.
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn a_flush_reaches_what_is_below() {
        // Keeps everything until it is flushed, as TLS keeps what the socket did not take.
        let (near, mut far) = tokio::io::duplex(1024);
        let mut cork = Cork::new(tokio::io::BufWriter::with_capacity(1024, near));
        cork.write_all(b"reply").await.unwrap();
        cork.flush().await.unwrap();
        let mut received = [0; 5];
        let read = tokio::time::timeout(std::time::Duration::from_secs(5), async {
            far.read_exact(&mut received).await
        });
        read.await.expect("it is sent").unwrap();
        assert_eq!(&received, b"reply");
    }

    #[tokio::test]
    async fn what_is_written_before_a_flush_arrives_whole_and_in_order() {
        // A peer that takes 7 bytes at a time forces partial writes.
        let (near, mut far) = tokio::io::duplex(7);
        let mut sent = Vec::new();
        for size in [1usize, 900, 5_000, 20_000, 3] {
            sent.extend(std::iter::repeat_n((size % 251) as u8, size));
        }
        let expected = sent.clone();
        let writer = tokio::spawn(async move {
            let mut cork = Cork::new(near);
            let mut rest = sent.as_slice();
            for size in [1usize, 900, 5_000, 20_000, 3] {
                let (piece, after) = rest.split_at(size);
                cork.write_all(piece).await.unwrap();
                rest = after;
            }
            cork.flush().await.unwrap();
            assert!(cork.gathered.capacity() <= KEPT_MAX);
            cork.shutdown().await.unwrap();
        });
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.unwrap();
        writer.await.unwrap();
        assert_eq!(received, expected);
    }
}
