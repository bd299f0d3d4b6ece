//! `cargo bench --bench ratios`: the gateway against its references, in one run on one machine.
//!
//! Absolute figures depend on the machine and on who else uses it; ratios taken in turns much less.
//! So every section measures its subjects in alternation (A B A B) and prints medians, their
//! spread and the ratio of medians. Servers run on one core, driver and upstream on the other. The
//! program starts itself in several roles: the references [`bare`] and [`plain`], the fake
//! [`upstream`] and the [`load`] generator.
//!
//! `--help` lists the options. A subject with a single failed call is marked INVALID.

// The report goes to standard output, and to nothing else.
#![allow(clippy::print_stdout)]

mod bare;
mod client;
mod cork;
mod direct;
mod gateway;
mod h2;
mod h2load;
mod histogram;
mod hpack;
mod http1;
mod load;
mod options;
mod plain;
mod process;
mod report;
mod sections;
mod service;
mod upstream;
mod wire;

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["role", "upstream"] => run("current", upstream::serve()),
        ["role", "bare", runtime] => run(runtime, bare::serve(false)),
        ["role", "corked", runtime] => run(runtime, bare::serve(true)),
        ["role", "plain", runtime, upstream, client] => {
            run(runtime, plain::serve(upstream, client))
        }
        ["role", "load", work] => load(work),
        _ => match options::Options::parse(arguments) {
            Ok(options) => sections::run(&options),
            Err(message) => Err(io::Error::other(message)),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a server role. `multi` is what `#[tokio::main]` gives: a worker for each allowed core.
fn run(runtime: &str, server: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let mut builder = match runtime {
        "current" => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.enable_all().build()?.block_on(server)
}

fn load(work: &str) -> io::Result<()> {
    let mut work: load::Work = serde_json::from_str(work)?;
    work.watch.push(std::process::id());
    println!("{}", serde_json::to_string(&load::run(&work)?)?);
    Ok(())
}
