//! A direct HTTP/1.1 connection to the upstream: the base line of the added latency.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::load::{Connection, Done, Work};

/// One keep-alive connection. Replies come in order.
pub(crate) struct Direct {
    socket: TcpStream,
    request: Vec<u8>,
    open: Mutex<VecDeque<Instant>>,
}

impl Direct {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr, work: &Work) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut request = format!("GET {} HTTP/1.1\r\nhost: {address}\r\n", work.path);
        for (name, value) in &work.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("accept: application/json\r\n\r\n");
        Ok(Self { socket, request: request.into_bytes(), open: Mutex::default() })
    }

    fn open(&self) -> std::sync::MutexGuard<'_, VecDeque<Instant>> {
        self.open.lock().expect("no thread panics with the lock")
    }
}

impl Connection for Direct {
    fn send(&self, count: usize) -> io::Result<()> {
        for _ in 0..count {
            self.open().push_back(Instant::now());
            (&self.socket).write_all(&self.request)?;
        }
        Ok(())
    }

    fn receive(&self, each: &mut dyn FnMut(&mut Vec<Done>) -> usize) -> io::Result<()> {
        let mut chunk = vec![0; 64 * 1024];
        let mut input = Vec::new();
        let mut batch = Vec::new();
        loop {
            let count = (&self.socket).read(&mut chunk)?;
            if count == 0 {
                return Ok(());
            }
            input.extend_from_slice(chunk.get(..count).unwrap_or_default());
            while let Some((status, start, length)) = crate::http1::head(&input)
                && input.len() >= start + length
            {
                input.drain(..start + length);
                let opened = self.open().pop_front();
                batch.push(Done {
                    opened: opened.ok_or_else(|| io::Error::other("a reply nobody asked for"))?,
                    bytes: length,
                    fault: (status != 200).then(|| format!("HTTP status {status}")),
                });
            }
            let more = each(&mut batch);
            batch.clear();
            self.send(more)?;
        }
    }

    fn close(&self) {
        // The peer may be gone already, which is what is wanted.
        let _gone = self.socket.shutdown(std::net::Shutdown::Both);
    }
}
