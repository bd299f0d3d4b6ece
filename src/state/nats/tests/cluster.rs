//! Real brokers on loopback, each a process of its own.

use std::fs;
use std::io::BufRead as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The placement tag that all of them have.
pub const TAG: &str = "synced";

/// How brokers are set up.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// How many.
    pub brokers: usize,
    /// Whether each write is synced before it is acknowledged.
    pub sync_always: bool,
    /// Room that each believes to have on disk, in bytes.
    pub room: u64,
    /// Bytes of a real disk of each one's own, a part of which something else takes up; the
    /// machine's own where there is none.
    pub disk: Option<(u64, u64)>,
    /// Whether they are of the version before.
    pub before: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { brokers: 3, sync_always: true, room: 64 << 30, disk: None, before: false }
    }
}

/// A disk in memory that only processes started on it see; it is there until the last one ends.
struct Disk {
    keeper: Child,
    ballast: PathBuf,
}

impl Disk {
    fn new(folder: &Path, bytes: u64, taken: u64) -> Self {
        let ballast = folder.join("ballast");
        let script = "mount -t tmpfs -o size=$1 tmpfs \"$2\" && head -c $3 /dev/zero > \"$4\" && \
                      echo ready && exec cat";
        let mut keeper = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"])
            .args([&bytes.to_string(), folder.to_str().unwrap(), &taken.to_string()])
            .arg(&ballast)
            // It ends with its standard input, and so with the test.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        std::io::BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n", "this test mounts a tmpfs in a namespace of its own");
        Self { keeper, ballast }
    }

    /// A program that sees it.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        let of = self.keeper.id().to_string();
        command.args(["--user", "--mount", "--preserve-credentials", "--target", &of]);
        command.arg(program);
        command
    }

    fn make_room(&self) {
        let gone = self.command(Path::new("rm")).arg(&self.ballast).status();
        assert!(gone.unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// Brokers that know each other.
pub struct Cluster {
    folder: PathBuf,
    setup: Setup,
    disks: Vec<Disk>,
    ports: Vec<Ports>,
    running: Vec<Option<Child>>,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    client: u16,
    monitor: u16,
    route: u16,
}

/// So many ports nobody listens on now, outside the range that outgoing connections take theirs
/// from: a broker that is dead for a while finds its own again.
pub fn free_ports(count: usize) -> Vec<u16> {
    // Each is held until all are found, so that none is found twice.
    let mut held = Vec::new();
    while held.len() < count {
        let port = 20_000 + rand::random::<u16>() % 12_000;
        held.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
    }
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

/// The broker's program, which the test command installs.
pub fn program() -> PathBuf {
    installed("NATS_SERVER", ".tools/python/bin/nats-server")
}

/// The same of the version before.
fn program_before() -> PathBuf {
    installed("NATS_SERVER_BEFORE", ".tools/nats-before/bin/nats-server")
}

fn installed(variable: &str, file: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    assert!(installed.exists(), "no {file}: run tests/tools/bootstrap, or set {variable}");
    installed
}

impl Cluster {
    /// Starts brokers. They need a few seconds to agree on a leader.
    pub fn start(setup: Setup) -> Self {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("qiwi-nats-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let ports = free_ports(3 * setup.brokers);
        let ports = ports.chunks(3);
        let ports = ports.map(|of| Ports { client: of[0], monitor: of[1], route: of[2] }).collect();
        let mut cluster = Self { folder, setup, disks: Vec::new(), ports, running: Vec::new() };
        for at in 0..setup.brokers {
            let folder = cluster.folder_of(at);
            fs::create_dir_all(&folder).unwrap();
            if let Some((bytes, taken)) = setup.disk {
                cluster.disks.push(Disk::new(&folder, bytes, taken));
            }
            cluster.running.push(None);
            cluster.begin(at);
        }
        cluster
    }

    fn folder_of(&self, at: usize) -> PathBuf {
        self.folder.join(format!("n{at}"))
    }

    /// Starts one that does not run.
    pub fn begin(&mut self, at: usize) {
        let folder = self.folder_of(at);
        let Ports { client, monitor, route } = self.ports[at];
        let sync = if self.setup.sync_always { "always" } else { "2m" };
        let routes: Vec<_> =
            self.ports.iter().map(|of| format!("nats://127.0.0.1:{}", of.route)).collect();
        let cluster = match self.setup.brokers {
            1 => String::new(),
            _ => format!(
                "cluster {{ name: test, listen: \"127.0.0.1:{route}\", routes: [{}] }}",
                routes.join(", ")
            ),
        };
        let config = format!(
            "server_name: n{at}\nserver_tags: [{TAG}]\nlisten: \"127.0.0.1:{client}\"\n\
             http: \"127.0.0.1:{monitor}\"\njetstream {{ store_dir: \"{}\", \
             sync_interval: {sync}, max_file_store: {}, max_memory_store: 67108864 }}\n{cluster}\n",
            folder.display(),
            self.setup.room,
        );
        let file = self.folder.join(format!("n{at}.conf"));
        fs::write(&file, config).unwrap();
        let output = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.join(format!("n{at}.log")))
            .unwrap();
        let program = if self.setup.before { program_before() } else { program() };
        let mut command = match self.disks.get(at) {
            Some(disk) => disk.command(&program),
            None => Command::new(program),
        };
        let child = command
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        self.running[at] = Some(child);
    }

    /// Where clients connect, comma separated.
    pub fn urls(&self) -> String {
        let urls: Vec<_> =
            self.ports.iter().map(|of| format!("nats://127.0.0.1:{}", of.client)).collect();
        urls.join(",")
    }

    /// Where the brokers tell about themselves, comma separated.
    pub fn monitors(&self) -> String {
        let urls: Vec<_> =
            self.ports.iter().map(|of| format!("http://127.0.0.1:{}", of.monitor)).collect();
        urls.join(",")
    }

    /// The port clients of one connect to.
    pub fn client_port(&self, at: usize) -> u16 {
        self.ports[at].client
    }

    /// Changes how brokers are set up that are started from now on.
    pub fn set_up(&mut self, setup: Setup) {
        self.setup = Setup { brokers: self.setup.brokers, ..setup };
    }

    /// What else was on the brokers' disks goes.
    pub fn make_room(&self) {
        self.disks.iter().for_each(Disk::make_room);
    }

    /// Where one tells about itself.
    pub fn monitor(&self, at: usize) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports[at].monitor).into()
    }

    /// Ends one in order.
    pub fn stop(&mut self, at: usize) {
        self.signal(at, "-TERM");
        if let Some(mut child) = self.running[at].take() {
            child.wait().unwrap();
        }
    }

    /// Ends one at once.
    pub fn kill(&mut self, at: usize) {
        if let Some(mut child) = self.running[at].take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn signal(&self, at: usize, signal: &str) {
        if let Some(child) = &self.running[at] {
            let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
            assert!(sent.unwrap().success());
        }
    }

    /// Lets one stand still.
    pub fn pause(&self, at: usize) {
        self.signal(at, "-STOP");
    }

    /// Lets it go on.
    pub fn go_on(&self, at: usize) {
        self.signal(at, "-CONT");
    }

    /// The number of a broker by its name.
    pub fn number(name: &str) -> usize {
        name.strip_prefix('n').unwrap().parse().unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for at in 0..self.running.len() {
            self.kill(at);
        }
        if std::thread::panicking() {
            println!("the brokers' files are in {}", self.folder.display());
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
