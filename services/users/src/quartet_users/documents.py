"""The shapes of what every part of the service answers, for the OpenAPI document only."""

from dataclasses import dataclass


@dataclass
class ProblemDocument:
    """What is wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
