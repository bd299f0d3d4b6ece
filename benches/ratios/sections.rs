//! The sections of the report: who is compared with whom, by which load.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::gateway::{Gateway, until_ready};
use crate::load::{Outcome, Work};
use crate::options::{Call, Options};
use crate::process::{Server, get, pinned, resident_kib};
use crate::report::{Series, Subject, latency, machine, throughput};
use crate::{h2load, upstream, wire};

/// Load before each measured window, so that connections, caches and pools are warm.
const WARM_UP_MS: u64 = 300;

/// The servers of a run.
struct Bench<'a> {
    options: &'a Options,
    own: PathBuf,
    cores: Option<(usize, usize)>,
    gateway: Gateway,
    upstream: Server,
}

/// Someone to measure: a name, what is sent, and the server's process.
struct Entry {
    name: String,
    work: Work,
}

/// Runs the chosen sections.
pub(crate) fn run(options: &Options) -> io::Result<()> {
    let pin = Command::new("taskset").arg("-V").output().is_ok();
    let enough = thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
    let cores = (pin && enough).then_some((options.server_core, options.driver_core));
    let own = std::env::current_exe()?;
    println!("{}", machine());
    println!(
        "{}; {} driver, {} rounds of {} ms, {} connections × {} calls; bare and plain: {} runtime, system allocator",
        match cores {
            Some((server, driver)) =>
                format!("servers on core {server}, driver and upstream on core {driver}"),
            None => "NOT PINNED: taskset or a second core is missing".to_owned(),
        },
        if options.h2load { "h2load (grpc-status is not read)" } else { "own" },
        options.rounds,
        options.millis,
        options.connections,
        options.streams,
        options.runtime,
    );

    let mut command = pinned(cores.map(|(_, driver)| driver), &own);
    command.args(["role", "upstream"]);
    let bench = Bench {
        options,
        gateway: Gateway {
            program: options.gateway.clone(),
            core: cores.map(|(server, _)| server),
            environment: options.gateway_env.clone(),
        },
        upstream: Server::start(command, &["http"])?,
        own,
        cores,
    };
    let gateway = match bench.gateway.start(&bench.upstream()) {
        Ok(server) => Some(server),
        Err(error) => {
            println!("gateway: not measured, it {error}");
            None
        }
    };
    let chosen = |name: &str| options.sections.iter().any(|section| section == name);
    let mut invalid = 0;
    if chosen("cached") {
        invalid += bench.cached(gateway.as_ref())?;
    }
    if chosen("uncached") {
        invalid += bench.uncached(gateway.as_ref())?;
    }
    if chosen("latency") {
        invalid += bench.latency(gateway.as_ref())?;
    }
    if chosen("start") && gateway.is_some() {
        drop(gateway);
        bench.start()?;
    }
    if invalid > 0 {
        return Err(io::Error::other(format!("{invalid} subjects are INVALID")));
    }
    Ok(())
}

impl Bench<'_> {
    fn upstream(&self) -> String {
        self.upstream.address("http")
    }

    fn role(&self, arguments: &[&str], preload: Option<&str>) -> io::Result<Server> {
        let mut command = pinned(self.cores.map(|(server, _)| server), &self.own);
        command.arg("role").args(arguments);
        if let Some(library) = preload {
            command.env("LD_PRELOAD", library);
        }
        Server::start(command, &["grpc"])
    }

    fn plain(&self, client: &str) -> io::Result<Server> {
        let upstream = self.upstream();
        self.role(&["plain", &self.options.runtime, &upstream, client], None)
    }

    fn entry(&self, name: &str, server: &Server, call: &Call) -> Entry {
        Entry {
            name: name.to_owned(),
            work: Work {
                target: server.address("grpc"),
                path: call.path.clone(),
                frame: call.frame.clone(),
                vary: call.vary,
                headers: self.options.headers.clone(),
                connections: self.options.connections,
                streams: self.options.streams,
                warm_up_ms: WARM_UP_MS,
                measure_ms: self.options.millis,
                watch: vec![server.pid(), self.upstream.pid()],
                ..Work::default()
            },
        }
    }

    fn cached(&self, gateway: Option<&Server>) -> io::Result<usize> {
        let runtime = &*self.options.runtime;
        let bare = self.role(&["bare", runtime], None)?;
        let mut others = Vec::new();
        if self.options.references {
            others.push(("bare, current", self.role(&["bare", "current"], None)?));
            others.push(("bare, corked", self.role(&["corked", runtime], None)?));
        }
        if let Some(library) = &self.options.preload {
            let server = self.role(&["bare", runtime], Some(library))?;
            others.push(("bare, preload", server));
        }
        // bare knows one method, whatever the gateway is asked.
        let call = Options::parse([]).map_err(io::Error::other)?.cached;
        let mut entries = vec![self.entry("bare", &bare, &call)];
        for (name, server) in &others {
            entries.push(self.entry(name, server, &call));
        }
        if let Some(gateway) = gateway {
            entries.push(self.entry("gateway", gateway, &self.options.cached));
        }
        let mut subjects = self.rounds(&entries)?;
        for subject in &mut subjects {
            if subject.upstream.median() > 0.01 {
                subject.invalid("not cached: calls reached the upstream");
            }
        }
        Ok(throughput("cached read against bare", &subjects))
    }

    fn uncached(&self, gateway: Option<&Server>) -> io::Result<usize> {
        let call = &self.options.uncached;
        let reference = self.plain("reqwest")?;
        let mut others = Vec::new();
        if self.options.references {
            for client in ["legacy", "pool", "socket"] {
                others.push((format!("plain, {client}"), self.plain(client)?));
            }
            let server = self.role(&["plain", "current", &self.upstream(), "reqwest"], None)?;
            others.push(("plain, current".to_owned(), server));
        }
        if let Some(library) = &self.options.preload {
            let roles = ["plain", &self.options.runtime, &self.upstream(), "reqwest"];
            others.push(("plain, preload".to_owned(), self.role(&roles, Some(library))?));
        }
        let mut entries = vec![self.entry("plain", &reference, call)];
        for (name, server) in &others {
            entries.push(self.entry(name, server, call));
        }
        if let Some(gateway) = gateway {
            entries.push(self.entry("gateway", gateway, call));
        }
        let mut subjects = self.rounds(&entries)?;
        for subject in &mut subjects {
            if subject.upstream.median() < 0.99 {
                subject.invalid("fewer upstream calls than replies: something was shared");
            }
        }
        Ok(throughput("uncached read against plain", &subjects))
    }

    fn latency(&self, gateway: Option<&Server>) -> io::Result<usize> {
        let call = &self.options.uncached;
        let plain = self.plain("reqwest")?;
        let mut direct = self.entry("direct", &self.upstream, call);
        direct.work.direct = true;
        direct.work.target = self.upstream();
        direct.work.path = format!("/funding-sources/v2/persons/{}/accounts", wire::WALLET);
        if call.path.ends_with("/GetTransaction") {
            direct.work.path = "/payment-history/v2/transactions/9309".to_owned();
        }
        let mut entries = vec![direct, self.entry("plain", &plain, call)];
        if let Some(gateway) = gateway {
            entries.push(self.entry("gateway", gateway, call));
        }
        for entry in &mut entries {
            entry.work.rate = self.options.rate;
        }
        let subjects = self.rounds(&entries)?;
        let title = format!("added latency at {}/s, open loop", self.options.rate);
        Ok(latency(&title, &subjects))
    }

    fn start(&self) -> io::Result<()> {
        let (mut ready, mut idle) = (Series::default(), Series::default());
        for _ in 0..self.options.rounds {
            let server = self.gateway.start(&self.upstream())?;
            ready.push(until_ready(&server)?.as_secs_f64() * 1e3);
            thread::sleep(Duration::from_secs(1));
            if let Some(memory) = resident_kib(server.pid()) {
                idle.push(memory / 1024.0);
            }
        }
        println!("\nstart of the gateway");
        println!("  start to ready, ms      {}", ready.spread(0));
        println!("  idle resident, MiB      {}", idle.spread(1));
        Ok(())
    }

    /// Measures all entries in turns.
    fn rounds(&self, entries: &[Entry]) -> io::Result<Vec<Subject>> {
        let mut subjects: Vec<Subject> =
            entries.iter().map(|entry| Subject::named(&entry.name)).collect();
        for _ in 0..self.options.rounds {
            for (entry, subject) in entries.iter().zip(&mut subjects) {
                let before = self.upstream_requests()?;
                let outcome = self.load(&entry.work)?;
                subject.add(&outcome, self.upstream_requests()? - before);
            }
        }
        Ok(subjects)
    }

    fn upstream_requests(&self) -> io::Result<u64> {
        let (_, count) = get(&self.upstream(), upstream::COUNT_PATH)?;
        count.parse().map_err(io::Error::other)
    }

    fn load(&self, work: &Work) -> io::Result<Outcome> {
        let driver = |program: &Path| pinned(self.cores.map(|(_, driver)| driver), program);
        if !self.options.h2load || work.rate > 0 {
            return own_load(driver(&self.own), work);
        }
        // The own driver reads grpc-status; when one short run of it is good, so is the server.
        let mut check = work.clone();
        (check.connections, check.streams, check.measure_ms) = (1, 1, 50);
        let checked = own_load(driver(&self.own), &check)?;
        let mut outcome = h2load::run(driver(Path::new("h2load")), work)?;
        outcome.ok_total += checked.ok_total;
        outcome.faults.extend(checked.faults);
        outcome.reply_bytes = checked.reply_bytes;
        Ok(outcome)
    }
}

fn own_load(mut command: Command, work: &Work) -> io::Result<Outcome> {
    command.args(["role", "load"]).arg(serde_json::to_string(work)?);
    let output = command.output()?;
    serde_json::from_slice(&output.stdout)
        .map_err(|_| io::Error::other(String::from_utf8_lossy(&output.stdout).into_owned()))
}
