//! One RPC as the layers see it: its policy, its names and its number.

use crate::policy::Policy;

/// A method of the contract. What runs it stands in [`crate::operations`].
#[derive(Debug)]
pub struct Method {
    /// What the method is.
    pub policy: &'static Policy,
    index: u16,
    service_end: usize,
    api: &'static str,
}

impl Method {
    /// The method of a policy, at its place in the table.
    pub fn new(policy: &'static Policy, index: u16) -> Self {
        let api = policy.rpc.strip_prefix("qiwi.").and_then(|rest| rest.split('.').next());
        Self {
            policy,
            index,
            service_end: policy.rpc.find('/').unwrap_or(policy.rpc.len()),
            api: api.unwrap_or("gateway"),
        }
    }

    /// Its place in the table, for prebuilt metrics.
    pub fn index(&self) -> usize {
        usize::from(self.index)
    }

    /// Its name without its service.
    pub fn name(&self) -> &'static str {
        self.policy.rpc.get(self.service_end + 1..).unwrap_or(self.policy.rpc)
    }

    /// Its service's full name.
    pub fn service(&self) -> &'static str {
        self.policy.rpc.get(..self.service_end).unwrap_or(self.policy.rpc)
    }

    /// The upstream interface: `wallet`, `p2p`, `pay`, or `admin` for the gateway's own.
    pub fn api(&self) -> &'static str {
        self.api
    }
}
