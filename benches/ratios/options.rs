//! The command line of the bench.

use std::path::PathBuf;

use crate::h2::Vary;
use crate::wire;

/// What the options mean, printed on `--help` and on a mistake.
pub(crate) const HELP: &str = "\
cargo bench --bench ratios -- [options]
  --quick                 3 rounds of 1 s instead of 5 of 3 s
  --rounds N, --millis N  rounds, and milliseconds measured in each
  --only A,B              of cached, uncached, latency, start
  --connections N         connections of the closed loop (8)
  --streams N             calls open on each (32)
  --rate N                calls per second of the open loop (300)
  --driver own|h2load     load generator of the closed loop (own); h2load (Debian nghttp2-client)
                          does not read grpc-status
  --references            measure variants of the references too: the current-thread runtime,
                          gathered writes, other HTTP clients (legacy, pool, socket)
  --preload LIBRARY       and the references with this allocator preloaded
  --runtime multi|current tokio runtime of bare and plain (multi, one worker on its core)
  --server-core N, --driver-core N   cores (0 and 1)
  --gateway PATH          another gateway binary
  --gateway-env K=V       further environment of the gateway, repeatable
  --cached-path P, --cached-frame HEX       the gateway's cached call
  --uncached-path P, --uncached-frame HEX   the uncached call, of gateway and plain
  --uncached-vary OFF:N   six digits at this offset of the frame count through N values
  --header NAME:VALUE     further request header, repeatable";

/// The sections, in the order they run.
pub(crate) const SECTIONS: [&str; 4] = ["cached", "uncached", "latency", "start"];

/// A gRPC request.
#[derive(Clone)]
pub(crate) struct Call {
    /// Path of the method.
    pub(crate) path: String,
    /// The framed message.
    pub(crate) frame: Vec<u8>,
    /// Makes requests differ.
    pub(crate) vary: Option<Vary>,
}

/// Everything that can be chosen.
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) millis: u64,
    pub(crate) sections: Vec<String>,
    pub(crate) connections: usize,
    pub(crate) streams: usize,
    pub(crate) rate: u32,
    pub(crate) h2load: bool,
    pub(crate) references: bool,
    pub(crate) preload: Option<String>,
    pub(crate) runtime: String,
    pub(crate) server_core: usize,
    pub(crate) driver_core: usize,
    pub(crate) gateway: PathBuf,
    pub(crate) gateway_env: Vec<(String, String)>,
    pub(crate) cached: Call,
    pub(crate) uncached: Call,
    pub(crate) headers: Vec<(String, String)>,
}

impl Options {
    /// Reads the arguments. The error is the message for the user.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let path = "/qiwi.wallet.v1.BalanceService/ListBalances".to_owned();
        let request = |max_staleness| {
            wire::frame(&wire::ListBalancesRequest {
                wallet: wire::WALLET.to_owned(),
                max_staleness,
            })
        };
        let mut options = Self {
            rounds: 5,
            millis: 3000,
            sections: SECTIONS.map(str::to_owned).to_vec(),
            connections: 8,
            streams: 32,
            rate: 300,
            h2load: false,
            references: false,
            preload: None,
            runtime: "multi".to_owned(),
            server_core: 0,
            driver_core: 1,
            gateway: env!("CARGO_BIN_EXE_qiwi-gateway").into(),
            gateway_env: Vec::new(),
            cached: Call { path: path.clone(), frame: request(None), vary: None },
            uncached: Call {
                path,
                frame: request(Some(prost_types::Duration::default())),
                vary: None,
            },
            headers: vec![("authorization".to_owned(), "Bearer bench-token".to_owned())],
        };
        let mut arguments = arguments.into_iter();
        // Without `--bench` this is `cargo test --benches`: see that it works, measure nothing.
        let mut measuring = false;
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{name} needs a value"));
            match name.as_str() {
                "--bench" => measuring = true,
                "--quick" => (options.rounds, options.millis) = (3, 1000),
                "--rounds" => options.rounds = number(&value()?)?,
                "--millis" => options.millis = number(&value()?)?,
                "--only" => options.sections = sections(&value()?)?,
                "--connections" => options.connections = number(&value()?)?,
                "--streams" => options.streams = number(&value()?)?,
                "--rate" => options.rate = number(&value()?)?,
                "--driver" => options.h2load = choice(&value()?, ["own", "h2load"])? == "h2load",
                "--references" => options.references = true,
                "--preload" => options.preload = Some(value()?),
                "--runtime" => options.runtime = choice(&value()?, ["multi", "current"])?,
                "--server-core" => options.server_core = number(&value()?)?,
                "--driver-core" => options.driver_core = number(&value()?)?,
                "--gateway" => options.gateway = value()?.into(),
                "--gateway-env" => options.gateway_env.push(pair(&value()?, '=')?),
                "--cached-path" => options.cached.path = value()?,
                "--cached-frame" => options.cached.frame = hex(&value()?)?,
                "--uncached-path" => options.uncached.path = value()?,
                "--uncached-frame" => options.uncached.frame = hex(&value()?)?,
                "--uncached-vary" => {
                    let (offset, values) = pair(&value()?, ':')?;
                    options.uncached.vary =
                        Some(Vary { offset: number(&offset)?, values: number(&values)? });
                }
                "--header" => options.headers.push(pair(&value()?, ':')?),
                "--help" => return Err(HELP.to_owned()),
                _ => return Err(format!("{name} is not an option\n{HELP}")),
            }
        }
        if options.rounds == 0 || options.millis == 0 || options.rate == 0 {
            return Err("rounds, millis and rate must not be 0".to_owned());
        }
        let fits = |vary: Vary| vary.values > 0 && vary.offset + 6 <= options.uncached.frame.len();
        if !options.uncached.vary.is_none_or(fits) {
            return Err("--uncached-vary lies outside of the frame".to_owned());
        }
        if !measuring {
            (options.rounds, options.millis) = (1, 200);
        }
        Ok(options)
    }
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("{text} is not a number"))
}

fn choice(text: &str, choices: [&str; 2]) -> Result<String, String> {
    if choices.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text} is none of {choices:?}"))
    }
}

fn sections(text: &str) -> Result<Vec<String>, String> {
    text.split(',')
        .map(|name| match SECTIONS.contains(&name) {
            true => Ok(name.to_owned()),
            false => Err(format!("{name} is none of {SECTIONS:?}")),
        })
        .collect()
}

fn pair(text: &str, separator: char) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once(separator).ok_or_else(|| format!("{text} has no {separator}"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn hex(text: &str) -> Result<Vec<u8>, String> {
    text.as_bytes()
        .chunks(2)
        .map(|digits| {
            std::str::from_utf8(digits)
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok())
                .ok_or_else(|| format!("{text} is not hexadecimal"))
        })
        .collect()
}
