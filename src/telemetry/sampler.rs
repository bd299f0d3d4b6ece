//! Which traces are kept.
//!
//! Parent-based. A trace that starts here is always kept when the method moves
//! money and otherwise by its trace id, so every service of one company that
//! uses the same share keeps the same traces. A caller that did not sample does
//! not get to hide a payment: money methods are recorded all the same.

use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{
    ParentBasedSampler, Sampler, SamplingDecision, SamplingResult, ShouldSample,
};

use super::names;

/// The sampler of the gateway, keeping `read_percent` of the reads.
pub fn sampler(read_percent: u8) -> ParentBasedSampler {
    let share = f64::from(read_percent.min(100)) / 100.0;
    Sampler::parent_based(MoneyOr(Sampler::TraceIdRatioBased(share)))
        .with_remote_parent_not_sampled(MoneyOr(Sampler::AlwaysOff))
}

/// Keeps spans marked as money and leaves the rest to another sampler.
#[derive(Clone, Debug)]
struct MoneyOr(Sampler);

impl ShouldSample for MoneyOr {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let money = attributes
            .iter()
            .any(|kv| kv.key.as_str() == names::QIWI_MONEY && kv.value == Value::Bool(true));
        if !money {
            return self.0.should_sample(parent, trace_id, name, kind, attributes, links);
        }
        SamplingResult {
            decision: SamplingDecision::RecordAndSample,
            attributes: Vec::new(),
            trace_state: parent
                .map(|cx| cx.span().span_context().trace_state().clone())
                .unwrap_or_default(),
        }
    }
}
