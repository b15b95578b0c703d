"""Core: what passes between a person and a console: the marker that is waited for, the keys that end, the rate."""

from __future__ import annotations

ESCAPE, END, SEND = b"\x01", b"x", b"a"
"""Ctrl-A; after it x ends the machine, and a sends Ctrl-A itself."""
BURST_S = 2.0
"""What comes at once may be as much as the rate gives in this time."""


class Marker:
    """Waits for a text, however the stream is cut. An empty one is never seen."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._tail = b""

    def seen(self, data: bytes) -> bool:
        """Whether it is in what has come so far, with these bytes."""
        if not self._text:
            return False
        joined = self._tail + data
        self._tail = joined[len(joined) - len(self._text) + 1 :] if len(joined) >= len(self._text) else joined
        return self._text in joined


class Keys:
    """Takes Ctrl-A sequences out of what is typed."""

    def __init__(self) -> None:
        self._escaped = False

    def typed(self, data: bytes) -> tuple[bytes, bool]:
        """What the guest gets, and whether the person wants it ended. Nothing after that is sent."""
        sent = bytearray()
        for number in data:
            key = bytes([number])
            if self._escaped:
                self._escaped = False
                if key == END:
                    return bytes(sent), True
                sent += ESCAPE if key in (SEND, ESCAPE) else ESCAPE + key
            elif key == ESCAPE:
                self._escaped = True
            else:
                sent += key
        return bytes(sent), False


class Pace:
    """Holds a stream to bytes per second; 0 is no limit. Time is an argument, in seconds that never go back."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._full = 0.0

    def wait(self, size: int, now: float) -> float:
        """Seconds to wait before the next bytes are read, after these."""
        if not self._rate:
            return 0.0
        self._full = max(self._full, now) + size / self._rate
        return max(0.0, self._full - now - BURST_S)
