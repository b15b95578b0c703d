"""Every setting, one row each: its reader, its default as one would write it in TOML, and what it is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from . import readers as r

REQUIRED = object()


def setting(reader: r.Reader, default: Any = REQUIRED, doc: str = "") -> Any:
    """A row: default is given in TOML's terms and read like any other value."""
    return field(metadata={"reader": reader, "default": default, "doc": doc})


def row(of: Field[Any]) -> tuple[r.Reader, Any, str]:
    """The parts of a row."""
    return of.metadata["reader"], of.metadata["default"], of.metadata["doc"]


@dataclass(frozen=True, slots=True)
class Board:
    """[board]: who and where the agent is."""

    name: str = setting(r.name, doc="name of the board, as enrolled at the collector")
    state: Path = setting(r.path, "/var/lib/edgeagent", "folder of log, spool, checkpoints and keys")
    runtime: Path = setting(r.path, "/run/edgeagent", "folder of the control socket")
    group: str = setting(
        r.text(r"([a-z_][a-z0-9_-]{0,31})?", "group name"),
        "",
        "group whose members may look (status, ps, top, logs); changing takes root or the agent's user",
    )
    images: Path = setting(r.path, "/usr/lib/edgeagent/images", "folder of guest images, ARCH/APP.elf")
    profile: str = setting(
        r.name, "auto", "board profile, whose values hold where a setting is unset; auto: this board's"
    )
    crash_cap: int = setting(
        r.size("4MiB", "1GiB"),
        "32MiB",
        "what is kept of guests that crashed, in STATE/crashes; oldest go first",
    )
    memory_budget: r.Amount = setting(
        r.amount("8MiB", "1024GiB"),
        "auto",
        "memory for all guests, as a size or a share such as 25%; auto: half of the board's",
    )
    vm_user: str = setting(
        r.text(r"[a-z_][a-z0-9_-]{0,31}", "user name"),
        "edgeagent-vm",
        "user that VMs run as when the agent is root",
    )


@dataclass(frozen=True, slots=True)
class Journal:
    """[journal]: durability and bounds of what is on disk."""

    durability: str = setting(r.choice("disk", "memory"), "disk", "disk: synced before it is acknowledged")
    group_interval: int = setting(
        r.duration("0ms", "60s"), "250ms", "longest wait for others to share a sync; longer spares flash"
    )
    log_cap: int = setting(
        r.size("8MiB", "16GiB"), "64MiB", "input log of each unit; full: sources are slowed"
    )
    spool_cap: int = setting(r.size("8MiB", "64GiB"), "256MiB", "sealed batches waiting for the collector")
    when_full: str = setting(
        r.choice("block", "drop-oldest"),
        "block",
        "full spool: slow the sources, or drop the oldest batches (counted)",
    )
    on_damage: str = setting(
        r.choice("stop", "skip"), "stop", "damaged batch in the spool: stop sending, or give it up (counted)"
    )


@dataclass(frozen=True, slots=True)
class Mqtt:
    """[mqtt]: where readings come from."""

    url: str = setting(r.url("mqtt", "mqtts"), doc="broker; mqtts:// for TLS")
    version: int = setting(r.whole(4, 5), 5, "4 is MQTT 3.1.1")
    client_id: str = setting(
        r.text(r".{0,64}", "client id of at most 64 characters"), "", "empty: edgeagent-BOARD"
    )
    user: str = setting(r.text(r".{0,256}", "user"), "", "user at the broker")
    password_file: Path | None = setting(r.optional(r.path), None, "file whose first line is the password")
    ca: Path | None = setting(r.optional(r.path), None, "CA certificates; none: the system's")
    certificate: Path | None = setting(r.optional(r.path), None, "client certificate")
    key: Path | None = setting(r.optional(r.path), None, "client key")
    qos: int = setting(r.whole(0, 1), 1, "quality of service of the subscriptions")
    keepalive: int = setting(r.duration("5s", "1h"), "60s", "longest silence")
    session_expiry: int = setting(
        r.duration("0s", "49d"), "7d", "how long the broker keeps messages for us (MQTT 5)"
    )
    receive_maximum: int = setting(r.whole(1, 65535), 2048, "unacknowledged QoS 1 messages (MQTT 5)")
    retained: str = setting(
        r.choice("take", "drop"), "drop", "old values that the broker repeats at a subscription"
    )


@dataclass(frozen=True, slots=True)
class Coap:
    """[coap]: a CoAP server for sensors that push."""

    host: str = setting(r.text(), "::", "address to listen on")
    port: int = setting(r.whole(1, 65535), 5683, "UDP port")
    prefixes: tuple[str, ...] = setting(
        r.many(r.text()), [], "paths below which readings are taken; empty: any"
    )


@dataclass(frozen=True, slots=True)
class Unit:
    """[[unit]]: a place for a guest: what goes in, what may come out, what it may use."""

    name: str = setting(r.name, doc="name of the unit")
    app: str = setting(r.name, "aggregate", "image's name below board.images/ARCH")
    image: Path | None = setting(r.optional(r.path), None, "image file, instead of app")
    accelerator: str = setting(r.choice("auto", "kvm", "tcg"), "auto", "auto: what the probe chose")
    memory: int = setting(r.size("2MiB", "1GiB"), "12MiB", "guest RAM")
    cpu: int = setting(r.whole(5, 1600), 80, "most CPU of a guest, percent of one core")
    cpu_weight: int = setting(
        r.whole(1, 10_000), 100, "a guest's part where CPU is short, beside other units'"
    )
    frame_rate: int = setting(
        r.whole(1, 1_000_000),
        2000,
        "frames per second of a guest that no input explains; more is read slowly",
    )
    byte_rate: int = setting(r.size("1KiB", "1GiB"), "1MiB", "the same in bytes per second")
    log_rate: int = setting(
        r.size("256B", "1MiB"), "8KiB", "log of a guest that is passed on, bytes per second"
    )
    starts: int = setting(
        r.whole(1, 10_000), 10, "starts of the guest within ten minutes before it stays down"
    )
    spare: int = setting(
        r.whole(0, 8), 0, "guests that wait, built and paused, so that a start takes milliseconds"
    )
    idle_stop: int = setting(
        r.duration("0s", "7d"),
        "0s",
        "time without readings after which the guest ends until the next one; 0s: never",
    )
    topics: tuple[str, ...] = setting(
        r.many(r.text(r"[^\0]{1,1024}", "topic filter"), least=1),
        doc="MQTT topic filters; CoAP paths are matched by them too",
    )
    instances: int = setting(
        r.whole(1, 64), 1, "most guests at once, which share the topics; their number follows the load"
    )
    scale_after: int = setting(
        r.duration("1s", "1h"), "5s", "how long readings must wait too long before one more guest takes part"
    )
    scale_calm: int = setting(
        r.duration("1s", "7d"), "10m", "how long no reading may wait before a guest fewer takes part"
    )
    rate: int = setting(r.whole(0, 1_000_000), 0, "most readings per second of the unit; 0: no limit")
    source_rate: int = setting(r.whole(0, 1_000_000), 0, "most readings per second of one topic; 0: no limit")
    window: int = setting(r.duration("1s", "1d"), "60s", "length of a window")
    lateness: int = setting(r.duration("0s", "1d"), "5s", "how late a reading may be; at most the window")
    ahead: int = setting(r.duration("0s", "1d"), "1h", "how far ahead of our clock an event may lie; 0s: any")
    series: int = setting(r.whole(1, 1_000_000), 2000, "most series (source, field, unit of measure)")
    windows: int = setting(r.whole(1, 4_000_000), 4000, "most open windows")
    buckets: int = setting(r.whole(8, 4096), 256, "most quantile buckets of a window")
    quantiles: tuple[int, ...] = setting(r.many(r.per_mille), [0.5, 0.95], "quantiles to report")
    times: tuple[str, ...] = setting(
        r.many(r.text(r".{1,64}", "field name")),
        ["last_seen", "Time", "unixtime", "ts"],
        "event time in JSON payloads",
    )
    fields: tuple[str, ...] = setting(
        r.many(r.text(r".{1,64}", "field name")),
        [],
        "fields to take, a trailing * matches any rest; empty: all",
    )
    deadband: Decimal = setting(
        r.number, 0, "windows that stay this close to the last value are held back; 0: none"
    )
    heartbeat: int = setting(r.whole(1, 100_000), 60, "windows a deadband may hold back in a row")


@dataclass(frozen=True, slots=True)
class Seal:
    """[seal]: for whom batches are encrypted and when they are closed."""

    keys: Path | None = setting(r.optional(r.path), None, "folder of the board's keys; none: STATE/keys")
    recipients: tuple[Path, ...] = setting(
        r.many(r.path, least=1), doc="public keys (X25519) that may open batches"
    )
    cipher: str = setting(r.choice("A256GCM", "ChaCha20-Poly1305"), "A256GCM", "content encryption")
    batch_interval: int = setting(r.duration("100ms", "1h"), "10s", "longest wait of a summary for its batch")
    batch_items: int = setting(r.whole(1, 10_000), 1000, "most summaries of a batch")


@dataclass(frozen=True, slots=True)
class Uplink:
    """[uplink]: where batches go."""

    url: str = setting(r.url("mqtt", "mqtts"), doc="broker; mqtts:// for TLS")
    acknowledge: str = setting(
        r.choice("collector", "broker"), "collector", "who must have a batch before it leaves the spool"
    )
    collector_keys: tuple[Path, ...] = setting(
        r.many(r.path), [], "public keys (Ed25519) that sign acknowledgements"
    )
    user: str = setting(r.text(r".{0,256}", "user"), "", "user at the broker")
    password_file: Path | None = setting(r.optional(r.path), None, "file whose first line is the password")
    ca: Path | None = setting(r.optional(r.path), None, "CA certificates; none: the system's")
    certificate: Path | None = setting(r.optional(r.path), None, "client certificate")
    key: Path | None = setting(r.optional(r.path), None, "client key")


@dataclass(frozen=True, slots=True)
class Fleet:
    """[fleet]: who may ask this board to do something, over MQTT; off when the table is absent."""

    keys: tuple[Path, ...] = setting(
        r.many(r.path, least=1), doc="public keys (Ed25519) that sign desired states and commands"
    )
    tags: tuple[str, ...] = setting(r.many(r.name, most=32), [], "words that rollouts select boards by")
    url: str | None = setting(
        r.optional(r.url("mqtt", "mqtts")),
        None,
        "broker; none: uplink's, with all that is set there, and what follows counts for nothing",
    )
    user: str = setting(r.text(r".{0,256}", "user"), "", "user at the broker")
    password_file: Path | None = setting(r.optional(r.path), None, "file whose first line is the password")
    ca: Path | None = setting(r.optional(r.path), None, "CA certificates; none: the system's")
    certificate: Path | None = setting(r.optional(r.path), None, "client certificate")
    key: Path | None = setting(r.optional(r.path), None, "client key")


@dataclass(frozen=True, slots=True)
class Metrics:
    """[metrics]: for Prometheus; off unless one is given."""

    file: Path | None = setting(
        r.optional(r.path), None, "file for node_exporter's textfile collector (*.prom)"
    )
    port: int = setting(r.whole(0, 65535), 0, "loopback port; 0: none")


@dataclass(frozen=True, slots=True)
class FromProfile:
    """What the file leaves unset and the board's profile gave: TOML values by table, unit's name or "", setting."""

    profile: str = ""
    values: Mapping[tuple[str, str, str], Any] = field(default_factory=dict)

    def gave(self, table: str, unit: str, setting: str) -> bool:
        """Whether a setting has the profile's value."""
        return (table, unit, setting) in self.values

    def as_json(self) -> dict[str, Any]:
        """For people and programs: values by table.setting."""
        return {f"{table}.{setting}": value for (table, _, setting), value in self.values.items()}


@dataclass(frozen=True, slots=True)
class Config:
    """The whole file."""

    board: Board
    journal: Journal
    units: tuple[Unit, ...]
    seal: Seal
    uplink: Uplink
    metrics: Metrics
    mqtt: Mqtt | None = None
    coap: Coap | None = None
    fleet: Fleet | None = None
    from_profile: FromProfile = field(default_factory=FromProfile)
