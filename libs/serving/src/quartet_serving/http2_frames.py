"""HTTP/2 frames: h2's connection with limits on frames that carry nothing, and with errors of single streams."""

import time

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, Frame, HeadersFrame, WindowUpdateFrame

MAX_STREAMS = 100
"""Concurrent streams of one connection."""
MAX_HEAD = 32 * 1024
"""Bytes of the headers of one request, as counted for SETTINGS_MAX_HEADER_LIST_SIZE."""
STREAM_WINDOW = 65_535
"""Bytes of a body that wait for the application; the window of a stream."""
BURST = 300
PER_SECOND = 100
"""Limit on frames that carry nothing: so many at once, and so many a second."""


class TooManyFramesError(h2.exceptions.ProtocolError):
    """The client floods the connection: resets (CVE-2023-44487), PING, SETTINGS, PRIORITY or empty DATA frames."""

    error_code = ErrorCodes.ENHANCE_YOUR_CALM


class FramedConnection(h2.connection.H2Connection):
    """h2's connection of a server. A body of another length than its Content-Length ends its stream only."""

    def __init__(self) -> None:
        super().__init__(h2.config.H2Configuration(client_side=False, header_encoding=None))
        codes = h2.settings.SettingCodes
        self.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                codes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
                codes.MAX_HEADER_LIST_SIZE: MAX_HEAD,
                codes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            },
        )
        self.decoder.max_header_list_size = MAX_HEAD
        self._allowed = float(BURST)
        self._counted_at = time.monotonic()
        self.frames = 0
        """Complete frames received; a header block counts as one."""

    @property
    def is_unfinished(self) -> bool:
        """Whether a frame, a header block or the preface is incomplete."""
        buffer = self.incoming_buffer
        return bool(buffer._data or buffer._headers_buffer or buffer._preamble_len)

    @property
    def is_in_data(self) -> bool:
        """Whether the incomplete frame is a DATA frame (RFC 9113 section 4.1: its fourth byte is the type)."""
        return self.incoming_buffer._data[3:4] == b"\0"

    def _receive_frame(self, frame: Frame) -> list[h2.events.Event]:
        self.frames += 1
        if not isinstance(frame, HeadersFrame | WindowUpdateFrame) and not _carries_data(frame):
            self._count()
        try:
            return super()._receive_frame(frame)
        except h2.exceptions.InvalidBodyLengthError:  # a stream error (RFC 9113 section 8.1.1)
            number = frame.stream_id
            self.reset_stream(number, ErrorCodes.PROTOCOL_ERROR)
            return [h2.events.StreamReset(stream_id=number, error_code=ErrorCodes.PROTOCOL_ERROR, remote_reset=False)]

    def _count(self) -> None:
        now = time.monotonic()
        self._allowed = min(BURST, self._allowed + (now - self._counted_at) * PER_SECOND) - 1
        self._counted_at = now
        if self._allowed < 0:
            raise TooManyFramesError("too many frames without data")


def _carries_data(frame: Frame) -> bool:
    return isinstance(frame, DataFrame) and (bool(frame.data) or "END_STREAM" in frame.flags)
