"""Which new traces are recorded."""

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes


class LinkedSampler(Sampler):
    """Samples a new trace that links to a sampled one, and a share of all others.

    One message has the events of several requests, and its span is a new trace. So the span of each message with an
    event of a sampled request is recorded.
    """

    def __init__(self, ratio: float) -> None:
        self._others = TraceIdRatioBased(ratio)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """The decision for one new trace."""
        linked = any(link.context.trace_flags.sampled for link in links or ())
        sampler = ALWAYS_ON if linked else self._others
        return sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """What the SDK shows."""
        return f"LinkedSampler{{{self._others.get_description()}}}"


def sampler_of(ratio: float) -> Sampler:
    """Spans of a request follow the decision of its trace; `ratio` is the share of new traces, 0 to 1."""
    return ParentBased(LinkedSampler(ratio))
