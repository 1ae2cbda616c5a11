"""The types of all events that the audit service publishes, with a JSON Schema each in schemas/."""

from quartet_audit.checkpoints.signing_key_events import KEY_ROTATED
from quartet_audit.entries.read_events import LOG_READ
from quartet_audit.erasures.erasure_events import ERASURE_COMPLETED, ERASURE_REQUESTED
from quartet_audit.exports.export_events import DATA_EXPORTED, LOG_EXPORTED
from quartet_audit.retention.retention_events import HOLD_RELEASED, HOLD_SET, RETENTION_APPLIED, RETENTION_CHANGED
from quartet_audit.streams.stream_events import (
    STREAM_CREATED,
    STREAM_DELETED,
    STREAM_PAUSED,
    STREAM_REPLAYED,
    STREAM_RESUMED,
    STREAM_UPDATED,
)

PUBLISHED = (
    *(DATA_EXPORTED, LOG_EXPORTED, LOG_READ, ERASURE_REQUESTED, ERASURE_COMPLETED, KEY_ROTATED),
    *(RETENTION_CHANGED, RETENTION_APPLIED, HOLD_SET, HOLD_RELEASED),
    *(STREAM_CREATED, STREAM_UPDATED, STREAM_PAUSED, STREAM_RESUMED, STREAM_REPLAYED, STREAM_DELETED),
)
