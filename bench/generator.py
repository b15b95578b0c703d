"""A thousand MQTT devices in one cheap process: each its own connection and topic, packets encoded by hand.

Prints one JSON line that says exactly what was sent. Payloads are like zigbee2mqtt's, 165 bytes with the topic.
"""

from __future__ import annotations

import argparse
import json
import resource
import select
import socket
import sys
import time

CONNACK = b"\x20\x02\x00\x00"
PUBACK_SIZE = 4
"""Bytes of a PUBACK in MQTT 3.1.1."""
TICK_S = 0.004
PATIENCE_S = 30.0
TOPIC = "zigbee2mqtt/0x00158d{:010x}"
PAYLOAD = (
    '{"battery":97,"humidity":%5.2f,"last_seen":%13d,"linkquality":%3d,"temperature":%5.2f,'
    '"voltage":2985,"power_outage_count":805}'
)
VALUES = 6
"""Numbers in a payload, the time apart."""
LOW, STEPS = 2000, 500
"""Temperatures in hundredths: LOW to LOW + STEPS - 1."""


def temperature(device: int, number: int) -> int:
    """What the device's number-th reading says, in hundredths."""
    return LOW + (number * 7 + device * 13) % STEPS


def connect_packet(name: str) -> bytes:
    body = b"\x00\x04MQTT\x04\x02\x00\x00" + len(name).to_bytes(2, "big") + name.encode()
    return bytes((0x10, len(body))) + body


class Device:
    """One topic; ``packet`` is called for every reading, so all but the numbers is made once."""

    def __init__(self, index: int, qos: int) -> None:
        self._index, self._qos = index, qos
        topic = TOPIC.format(index).encode()
        head = len(topic).to_bytes(2, "big") + topic
        text = PAYLOAD % (40 + index % 100 / 7, 0, index % 156 + 100, 0)
        size = len(head) + 2 * qos + len(text)
        fixed = (
            bytes((0x30 | qos << 1, size & 0x7F | 0x80, size >> 7))
            if size > 127
            else bytes((0x30 | qos << 1, size))
        )
        self._start = fixed + head
        before, rest = text.split("            0", 1)
        middle, after = rest.split(" 0.00", 1)
        self._before, self._middle, self._after = before.encode(), middle.encode(), after.encode()
        self.number = 0

    def packet(self, now_ms: int) -> tuple[bytes, int]:
        """The next reading's PUBLISH, and the temperature in it."""
        hundredths = temperature(self._index, self.number)
        self.number += 1
        ident = (self.number % 65535 + 1).to_bytes(2, "big") if self._qos else b""
        whole, cents = divmod(hundredths, 100)
        numbers = b"%s%d%s%d.%02d%s" % (self._before, now_ms, self._middle, whole, cents, self._after)
        return self._start + ident + numbers, hundredths


def connect(port: int, count: int) -> list[socket.socket]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, count + 100)), hard))
    sockets = []
    for index in range(count):
        one = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.sendall(connect_packet(f"bench-{index}"))
        if one.recv(4, socket.MSG_WAITALL) != CONNACK:
            sys.exit(f"generator: the broker refused connection {index}")
        sockets.append(one)
    return sockets


class Acks:
    """Counts PUBACKs by their bytes; nothing else comes from the broker."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        self._poll = select.epoll()
        self._by_fd = {one.fileno(): one for one in sockets}
        for fd in self._by_fd:
            self._poll.register(fd, select.EPOLLIN)
        self.bytes = 0

    def take(self, wait: float) -> None:
        """Read what came within that many seconds."""
        for fd, _ in self._poll.poll(wait):
            got = self._by_fd[fd].recv(65536)
            if not got:
                sys.exit("generator: the broker closed a connection")
            self.bytes += len(got)


def run(arguments: argparse.Namespace) -> dict[str, float]:
    sockets = connect(arguments.port, min(arguments.connections, arguments.devices))
    devices = [Device(index, arguments.qos) for index in range(arguments.devices)]
    acks = Acks(sockets)
    if arguments.wait:
        print("ready", flush=True)
        sys.stdin.readline()
    sent = total = size = 0
    wanted = round(arguments.rate * arguments.seconds)
    behind = 0.0
    first_ms = time.time_ns() // 1_000_000
    began = time.perf_counter()
    while sent < wanted:
        passed = time.perf_counter() - began
        due = min(wanted, int(arguments.rate * passed))
        if arguments.qos:
            acks.take(0)
            due = min(due, acks.bytes // PUBACK_SIZE + arguments.in_flight)
        if due <= sent:
            time.sleep(TICK_S)
            continue
        now_ms = time.time_ns() // 1_000_000
        while sent < due:
            index = sent % len(devices)
            packet, hundredths = devices[index].packet(now_ms)
            sockets[index % len(sockets)].sendall(packet)
            total += hundredths
            size += len(packet)
            sent += 1
        behind = max(behind, time.perf_counter() - began - sent / arguments.rate)
    seconds = time.perf_counter() - began
    last_ms = time.time_ns() // 1_000_000
    deadline = time.monotonic() + PATIENCE_S
    while arguments.qos and acks.bytes < sent * PUBACK_SIZE and time.monotonic() < deadline:
        acks.take(0.1)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    for one in sockets:
        one.sendall(b"\xe0\x00")
        one.close()
    return {
        "sent": sent,
        "acknowledged": acks.bytes // PUBACK_SIZE if arguments.qos else sent,
        "bytes": size,
        "total_hundredths": total,
        "seconds": seconds,
        "behind_ms": round(behind * 1000),
        "first_ms": first_ms,
        "last_ms": last_ms,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--qos", type=int, choices=(0, 1), default=0)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument(
        "--in-flight", type=int, default=5000, help="unacknowledged readings of all devices (QoS 1)"
    )
    parser.add_argument("--wait", action="store_true", help="say ready, then wait for a line")
    print(json.dumps(run(parser.parse_args())))


if __name__ == "__main__":
    main()
