"""Sampling: a message that has events of a sampled trace is recorded, whatever the share of new traces."""

from collections.abc import Sequence

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, SpanContext, TraceFlags

from quartet_common.telemetry.sampling import sampler_of


def link(*, sampled: bool) -> Link:
    """A link to a span of another trace."""
    return Link(SpanContext(1, 1, is_remote=True, trace_flags=TraceFlags(int(sampled))))


@pytest.mark.parametrize(
    ("ratio", "links", "recorded"),
    [
        (0, [], False),
        (0, [link(sampled=False)], False),
        (0, [link(sampled=False), link(sampled=True)], True),
        (1, [], True),
        (1, [link(sampled=False)], True),
    ],
)
def test_a_new_trace_that_links_to_a_sampled_one_is_recorded(
    ratio: float, links: Sequence[Link], recorded: bool
) -> None:
    tracer = TracerProvider(sampler=sampler_of(ratio)).get_tracer("test")
    assert tracer.start_span("publish batch", Context(), links=links).is_recording() is recorded
