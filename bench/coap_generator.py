"""Many CoAP devices in one cheap process: each its own UDP endpoint with one confirmable POST under way.

A closed loop, as RFC 7252 section 4.7 (NSTART = 1) asks of devices: the next reading goes out when the last one is
answered. Retransmits with the same message id, and waits for Max-Age after 5.03. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import heapq
import json
import resource
import select
import socket
import sys
import time

from generator import PAYLOAD, temperature

CON, RST = 0, 3
CHANGED, BUSY = 0x44, 0xA3
URI_PATH, CONTENT_FORMAT, MAX_AGE = 11, 12, 14
JSON = 50
RETRANSMIT_S = 3.0
PATIENCE_S = 30.0


def options(path: list[bytes]) -> bytes:
    """Uri-Path of segments shorter than 13 bytes, then Content-Format (RFC 7252 section 3.1)."""
    encoded, last = b"", 0
    for segment in path:
        encoded += bytes((URI_PATH - last << 4 | len(segment),)) + segment
        last = URI_PATH
    return encoded + bytes((CONTENT_FORMAT - last << 4 | 1, JSON))


def max_age(reply: bytes) -> int:
    """Of a reply, seconds; the default is 60 (section 5.10.5)."""
    at, number = 4 + (reply[0] & 15), 0
    while at < len(reply) and reply[at] != 0xFF:
        delta, size = reply[at] >> 4, reply[at] & 15
        at += 1
        if delta == 13:
            delta, at = reply[at] + 13, at + 1
        number += delta
        if number == MAX_AGE:
            return int.from_bytes(reply[at : at + size], "big")
        at += size
    return 60


class Device:
    """One endpoint."""

    def __init__(self, index: int, port: int) -> None:
        self.index = index
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setblocking(False)
        self._head = options([b"bench", b"%x" % index])
        self.number = self.confirmed = self.busy = self.resent = self.total = self.bytes = 0
        self.packet = b""
        self.sent_at = 0.0

    def next(self) -> None:
        """Send the next reading."""
        hundredths = temperature(self.index, self.number)
        now = time.time_ns() // 1_000_000
        text = PAYLOAD % (40, now, 200, hundredths / 100)
        self.number += 1
        self.total += hundredths
        ident = (self.number & 0xFFFF).to_bytes(2, "big")
        self.packet = b"\x42\x02" + ident + ident + self._head + b"\xff" + text.encode()
        self.bytes += len(self.packet)
        self.send()

    def send(self) -> None:
        """Send it, or send it again."""
        self.sent_at = time.monotonic()
        self.socket.send(self.packet)

    def answered(self) -> float | None:
        """Read one reply: 0 if the reading is confirmed, seconds to wait if the server is busy, None if neither."""
        reply = self.socket.recv(2048)
        kind, size = reply[0] >> 4 & 3, reply[0] & 15
        if kind == RST:
            sys.exit(f"coap generator: reset {reply.hex()}")
        if kind == CON:
            self.socket.send(b"\x60\x00" + reply[2:4])
        if reply[1] == 0 or reply[4 : 4 + size] != self.packet[4:6]:
            return None  # the answer comes apart from its acknowledgement (section 5.2.2), or comes again
        if reply[1] == BUSY:
            self.busy += 1
            return max(0.01, max_age(reply))
        if reply[1] != CHANGED:
            sys.exit(f"coap generator: answer {reply[1] >> 5}.{reply[1] & 31:02}")
        self.confirmed += 1
        return 0


def run(arguments: argparse.Namespace) -> dict[str, float]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, arguments.devices + 100)), hard))
    devices = {
        one.socket.fileno(): one for one in (Device(i, arguments.port) for i in range(arguments.devices))
    }
    poll = select.epoll()
    for fd in devices:
        poll.register(fd, select.EPOLLIN)
    if arguments.wait:
        print("ready", flush=True)
        sys.stdin.readline()
    first_ms, began = time.time_ns() // 1_000_000, time.monotonic()
    ends = began + arguments.seconds
    waiting: list[tuple[float, int]] = []
    looked = began
    under_way = set(devices)
    for device in devices.values():
        device.next()
    while under_way and time.monotonic() < ends + PATIENCE_S:
        for fd, _ in poll.poll(0.01):
            wait = devices[fd].answered()
            if wait is None:
                continue
            if wait:
                heapq.heappush(waiting, (time.monotonic() + wait, fd))
            elif time.monotonic() < ends:
                devices[fd].next()
            else:
                under_way.discard(fd)
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            devices[heapq.heappop(waiting)[1]].send()
        if now - looked > RETRANSMIT_S / 4:
            looked = now
            held = {fd for _, fd in waiting}
            for fd in under_way - held:
                if now - devices[fd].sent_at > RETRANSMIT_S:
                    devices[fd].resent += 1
                    devices[fd].send()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    everyone = devices.values()
    return {
        "sent": sum(one.number for one in everyone),
        "acknowledged": sum(one.confirmed for one in everyone),
        "bytes": sum(one.bytes for one in everyone),
        "total_hundredths": sum(one.total for one in everyone),
        "seconds": time.monotonic() - began,
        "behind_ms": 0,
        "first_ms": first_ms,
        "last_ms": time.time_ns() // 1_000_000,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "busy": sum(one.busy for one in everyone),
        "resent": sum(one.resent for one in everyone),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--wait", action="store_true", help="say ready, then wait for a line")
    print(json.dumps(run(parser.parse_args())))


if __name__ == "__main__":
    main()
