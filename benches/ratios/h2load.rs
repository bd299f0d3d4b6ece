//! nghttp2's load generator as a second opinion on the own one, closed loop only.
//!
//! It counts HTTP statuses, not gRPC ones, so one call of the own driver goes first and must be
//! good. Processor time covers its warm-up too and is divided by all its requests.

use std::io;
use std::process::Command;

use crate::load::{Outcome, Work};
use crate::process::cpu_micros;

/// Runs `h2load`, pinned by the caller's command prefix.
pub(crate) fn run(mut command: Command, work: &Work) -> io::Result<Outcome> {
    let file = std::env::temp_dir().join(format!("ratios-{}.frame", std::process::id()));
    std::fs::write(&file, &work.frame)?;
    let seconds = work.measure_ms.div_ceil(1000).max(1);
    command
        .args(["-t", "1", "-c", &work.connections.to_string()])
        .args(["-m", &work.streams.to_string(), "-D", &seconds.to_string()])
        .args(["-w", "30", "-W", "30"])
        .args(["-H", "content-type: application/grpc", "-H", "te: trailers"])
        .arg("-d")
        .arg(&file);
    for (name, value) in &work.headers {
        command.arg("-H").arg(format!("{name}: {value}"));
    }
    command.arg(format!("http://{}{}", work.target, work.path));
    let before: Vec<f64> = work.watch.iter().map(|pid| cpu_micros(*pid)).collect();
    let output = command.output();
    let after = work.watch.iter().map(|pid| cpu_micros(*pid));
    let cpu = after.zip(before).map(|(now, then)| now - then).collect();
    std::fs::remove_file(&file)?;
    let output = output?;
    let text = String::from_utf8_lossy(&output.stdout);

    let total = |word: &str| -> Option<u64> {
        let line = text.lines().find(|line| line.starts_with("requests:"))?;
        let part = line.split([':', ',']).find(|part| part.ends_with(word))?;
        part.trim().split(' ').next()?.parse().ok()
    };
    let good = total(" succeeded").ok_or_else(|| io::Error::other("h2load said nothing"))?;
    let mut outcome =
        Outcome { ok: good, ok_total: good, seconds: seconds as f64, cpu, ..Outcome::default() };
    for word in ["failed", "errored", "timeout"] {
        // Calls still open when its time is up are counted as failed nowhere.
        let count = total(&format!(" {word}")).unwrap_or(0);
        if count > 0 {
            outcome.faults.insert(format!("h2load {word}"), count);
        }
    }
    Ok(outcome)
}
