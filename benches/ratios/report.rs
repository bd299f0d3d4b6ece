//! Prints what was measured: medians with their spread, and ratios of medians.

use std::collections::BTreeMap;
use std::fs;

use crate::load::Outcome;

/// The figures of one subject, a value per round.
#[derive(Default)]
pub(crate) struct Series {
    values: Vec<f64>,
}

impl Series {
    /// Adds a round.
    pub(crate) fn push(&mut self, value: f64) {
        self.values.push(value);
    }

    /// The middle value; the mean of both middle ones where there are two.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |place| sorted.get(place).copied().unwrap_or(f64::NAN);
        let half = sorted.len() / 2;
        if sorted.len() % 2 == 1 { at(half) } else { (at(half.wrapping_sub(1)) + at(half)) / 2.0 }
    }

    /// Median with smallest and largest, in this many decimals.
    pub(crate) fn spread(&self, decimals: usize) -> String {
        let least = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.values.iter().copied().fold(0.0, f64::max);
        let median = self.median();
        format!("{median:.decimals$} ({least:.decimals$}–{most:.decimals$})")
    }
}

/// One subject of a section with all its rounds.
#[derive(Default)]
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) rate: Series,
    pub(crate) cpu: Series,
    pub(crate) server_busy: Series,
    pub(crate) driver_busy: Series,
    pub(crate) upstream: Series,
    pub(crate) p50: Series,
    pub(crate) p99: Series,
    pub(crate) late: Series,
    reply_bytes: usize,
    faults: BTreeMap<String, u64>,
}

impl Subject {
    /// A subject without rounds.
    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Adds a round. Processor times are of the server, the upstream and the driver.
    pub(crate) fn add(&mut self, outcome: &Outcome, upstream_requests: u64) {
        let cpu = |place| outcome.cpu.get(place).copied().unwrap_or(0.0);
        let micros = outcome.seconds * 1e6;
        self.rate.push(outcome.ok as f64 / outcome.seconds);
        self.cpu.push(cpu(0) / outcome.ok.max(1) as f64);
        self.server_busy.push(100.0 * cpu(0) / micros);
        self.driver_busy.push(100.0 * (cpu(1) + cpu(2)) / micros);
        self.upstream.push(upstream_requests as f64 / outcome.ok_total.max(1) as f64);
        self.p50.push(outcome.p50);
        self.p99.push(outcome.p99);
        self.late.push(outcome.late_p99);
        self.reply_bytes = outcome.reply_bytes;
        for (fault, count) in &outcome.faults {
            *self.faults.entry(fault.clone()).or_default() += count;
        }
        if outcome.ok == 0 {
            self.invalid("no good reply");
        }
    }

    /// Marks the subject's figures as worthless.
    pub(crate) fn invalid(&mut self, why: &str) {
        *self.faults.entry(why.to_owned()).or_default() += 1;
    }

    fn verdict(&self) -> String {
        if self.faults.is_empty() {
            String::new()
        } else {
            let faults: Vec<_> =
                self.faults.iter().map(|(fault, count)| format!("{count} × {fault}")).collect();
            format!("  INVALID: {}", faults.join(", "))
        }
    }
}

/// A section of throughput; ratios are to the first subject. Returns how many are invalid.
pub(crate) fn throughput(title: &str, subjects: &[Subject]) -> usize {
    println!("\n{title}");
    println!(
        "  {:<16}{:>28}{:>26}{:>8}{:>8}{:>9}{:>7}{:>9}{:>9}{:>8}{:>8}",
        "",
        "requests/s",
        "CPU µs/request",
        "server",
        "driver",
        "upstream",
        "bytes",
        "p50 ms",
        "p99 ms",
        "× req/s",
        "× CPU"
    );
    for subject in subjects {
        let (rate, cpu) =
            subjects.first().map_or((1.0, 1.0), |first| (first.rate.median(), first.cpu.median()));
        println!(
            "  {:<16}{:>28}{:>26}{:>7.0}%{:>7.0}%{:>9.3}{:>7}{:>9.2}{:>9.2}{:>8.2}{:>8.2}{}",
            subject.name,
            subject.rate.spread(0),
            subject.cpu.spread(1),
            subject.server_busy.median(),
            subject.driver_busy.median(),
            subject.upstream.median(),
            subject.reply_bytes,
            subject.p50.median() / 1e3,
            subject.p99.median() / 1e3,
            subject.rate.median() / rate,
            subject.cpu.median() / cpu,
            subject.verdict(),
        );
    }
    for subject in subjects {
        if subject.server_busy.median() < 90.0 {
            println!(
                "  note: {} was not saturated; its requests/s are a lower bound, its CPU holds",
                subject.name
            );
        }
    }
    invalid(subjects)
}

fn invalid(subjects: &[Subject]) -> usize {
    let invalid = |subject: &&Subject| !subject.faults.is_empty();
    subjects.iter().filter(invalid).count()
}

/// A section of latency; added latency is over the first subject. Returns how many are invalid.
pub(crate) fn latency(title: &str, subjects: &[Subject]) -> usize {
    println!("\n{title}");
    println!(
        "  {:<16}{:>26}{:>26}{:>12}{:>12}{:>14}",
        "", "p50 µs", "p99 µs", "added p50", "added p99", "late p99 µs"
    );
    for subject in subjects {
        let (p50, p99) =
            subjects.first().map_or((0.0, 0.0), |first| (first.p50.median(), first.p99.median()));
        println!(
            "  {:<16}{:>26}{:>26}{:>12.0}{:>12.0}{:>14.0}{}",
            subject.name,
            subject.p50.spread(0),
            subject.p99.spread(0),
            subject.p50.median() - p50,
            subject.p99.median() - p99,
            subject.late.median(),
            subject.verdict(),
        );
    }
    invalid(subjects)
}

/// The line that says what the figures were taken on.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let info = read("/proc/cpuinfo");
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    let profile = if cfg!(debug_assertions) {
        "unoptimised build: the figures mean nothing"
    } else {
        "optimised build"
    };
    format!(
        "{cores} cores, {model}, Linux {}, load average {load} before, {profile}",
        kernel.trim()
    )
}
