//! Starts the gateway as an operator would, with everything on, against the fake upstream.

use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Server, get, pinned};

/// How to start it.
pub(crate) struct Gateway {
    /// The binary.
    pub(crate) program: PathBuf,
    /// The core of servers.
    pub(crate) core: Option<usize>,
    /// Further environment, for example to lift the pacing of one wallet in an uncached run.
    pub(crate) environment: Vec<(String, String)>,
}

impl Gateway {
    /// Starts it and waits until it serves gRPC.
    pub(crate) fn start(&self, upstream: &str) -> io::Result<Server> {
        Server::start(self.command(upstream), &["grpc", "admin"])
    }

    fn command(&self, upstream: &str) -> Command {
        let mut command = pinned(self.core, &self.program);
        command.arg("serve");
        for listener in ["GRPC", "ADMIN", "NOTIFICATIONS"] {
            command.env(format!("QIWI_GATEWAY_{listener}__LISTEN"), "127.0.0.1:0");
        }
        command
            .env("QIWI_GATEWAY_UPSTREAM__EDGE_URL", format!("http://{upstream}"))
            .env("QIWI_GATEWAY_STATE__ENGINE", "memory")
            .envs(self.environment.iter().cloned());
        command
    }
}

/// How long the gateway has taken since its start until it says it is ready.
pub(crate) fn until_ready(server: &Server) -> io::Result<Duration> {
    let limit = Instant::now() + Duration::from_secs(10);
    loop {
        if let Ok((200, _)) = get(&server.address("admin"), "/readyz") {
            return Ok(server.started().elapsed());
        }
        if Instant::now() > limit {
            return Err(io::Error::other("never became ready"));
        }
        thread::sleep(Duration::from_millis(1));
    }
}
