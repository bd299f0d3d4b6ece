//! The built program as an operator runs it: signals, standard output, exit code.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// A running `qiwi-gateway serve`.
pub struct Process {
    child: Child,
    addresses: BTreeMap<String, SocketAddr>,
    lines: Arc<Mutex<Vec<String>>>,
    reader: tokio::task::JoinHandle<()>,
}

/// What a process that ended has left.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// The program with these arguments, and nothing of the tests' own environment that it would read.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qiwi-gateway"));
    command.args(arguments);
    clean(command)
}

fn clean(mut command: Command) -> Command {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let ours = |name: &str| name.starts_with("QIWI_GATEWAY_") || name.starts_with("OTEL_");
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command
}

/// Runs the program to its end.
pub async fn run(mut command: Command) -> Ended {
    let output = tokio::time::timeout(Duration::from_secs(20), command.output());
    let output = output.await.expect("it ends by itself").expect("it starts");
    Ended {
        status: output.status,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A folder of this test's own under the build folder.
pub fn folder(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{name}-{}-{number}", std::process::id());
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Writes a file the way secrets are replaced: complete from the first moment.
pub fn replace(file: &std::path::Path, content: &str) {
    let next = file.with_extension("next");
    std::fs::write(&next, content).unwrap();
    std::fs::rename(&next, file).unwrap();
}

/// The configuration as a file.
fn configured(name: &str, toml: &str) -> PathBuf {
    let file = folder(name).join("gateway.toml");
    std::fs::write(&file, toml).unwrap();
    file
}

impl Process {
    /// Starts `serve` with this configuration file's text and waits for its listeners.
    pub async fn serve(name: &str, toml: &str, env: &[(&str, &str)]) -> Self {
        Self::start(name, toml, env, &[]).await
    }

    /// The same with `--sandbox`.
    pub async fn sandboxed(name: &str, toml: &str, env: &[(&str, &str)]) -> Self {
        Self::start(name, toml, env, &["--sandbox"]).await
    }

    /// The same where no file may become larger than this, as on a full disk.
    pub async fn serve_within(name: &str, toml: &str, env: &[(&str, &str)], bytes: u64) -> Self {
        // Without the trap the first write that does not fit would end the process.
        let script = r#"trap "" XFSZ; ulimit -S -f "$1"; shift; exec "$@""#;
        // Shells count in blocks of 512 bytes, some in twice that.
        let blocks = bytes.div_ceil(512).to_string();
        let program = env!("CARGO_BIN_EXE_qiwi-gateway");
        let file = configured(name, toml);
        let serve = ["serve", "--config", file.to_str().unwrap()];
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh", &blocks, program]).args(serve);
        Self::run(clean(shell), env).await
    }

    /// Starts `serve` with this configuration file, which the test may replace.
    pub async fn serve_file(file: &std::path::Path, env: &[(&str, &str)]) -> Self {
        Self::run(command(&["serve", "--config", file.to_str().unwrap()]), env).await
    }

    async fn start(name: &str, toml: &str, env: &[(&str, &str)], more: &[&str]) -> Self {
        let file = configured(name, toml);
        let mut arguments = vec!["serve", "--config", file.to_str().unwrap()];
        arguments.extend(more);
        Self::run(command(&arguments), env).await
    }

    async fn run(mut command: Command, env: &[(&str, &str)]) -> Self {
        // Tests run at the same time.
        command.env("QIWI_GATEWAY_NOTIFICATIONS__LISTEN", "127.0.0.1:0");
        command.envs(env.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut addresses = BTreeMap::new();
        let mut first = Vec::new();
        let bound = async {
            while !(addresses.contains_key("grpc") && addresses.contains_key("admin")) {
                let line = stdout.next_line().await.unwrap().expect("it goes on");
                let json: serde_json::Value = serde_json::from_str(&line).expect(&line);
                if json["event"] == "listening" {
                    let address = json["address"].as_str().unwrap().parse().unwrap();
                    addresses.insert(json["listener"].as_str().unwrap().to_owned(), address);
                }
                first.push(line);
            }
        };
        if tokio::time::timeout(Duration::from_secs(10), bound).await.is_err() {
            let mut stderr = String::new();
            let _ = child.stderr.take().unwrap().read_to_string(&mut stderr).await;
            panic!("the listeners are not bound after 10 s: {stderr}");
        }
        let lines = Arc::new(Mutex::new(first));
        let sink = Arc::clone(&lines);
        let reader = tokio::spawn(async move {
            while let Ok(Some(line)) = stdout.next_line().await {
                sink.lock().push(line);
            }
        });
        Self { child, addresses, lines, reader }
    }

    /// Where a listener is bound.
    pub fn address(&self, listener: &str) -> SocketAddr {
        self.addresses[listener]
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Sends a signal, as `kill` does.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        // The shell's own `kill`: a program of that name need not be installed.
        let status = std::process::Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", signal, &pid])
            .status()
            .unwrap();
        assert!(status.success(), "kill -s {signal} {pid}");
    }

    /// Everything it printed so far.
    pub fn printed(&self) -> String {
        self.lines.lock().join("\n")
    }

    /// Whether it runs still.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end.
    pub async fn ended(mut self, within: Duration) -> Ended {
        let mut stderr = self.child.stderr.take().unwrap();
        let status = tokio::time::timeout(within, self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("still running after {within:?}")).unwrap();
        let mut errors = String::new();
        let _ = stderr.read_to_string(&mut errors).await;
        let _ = self.reader.await;
        Ended { status, stdout: self.lines.lock().join("\n"), stderr: errors }
    }
}
