"""The kinds of sensors of a home, one class each: what it publishes where, byte for byte like the real thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

import cbor2

from .dice import Dice
from .message import JSON, SENML_CBOR, SENML_JSON, TEXT, Value, Via, json_text
from .walk import Walk

Said = tuple[bytes, tuple[Value, ...]]


class Sensor(Protocol):
    """One device. ``say`` gives payload and values at an event time (ms); each call is one reading."""

    topic: str
    content_format: int

    def say(self, time_ms: int) -> Said:
        """The next payload, measured at time_ms."""


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso(time_ms: int, *, digits: int = 3, zone: str = "Z") -> str:
    """ISO 8601 as devices write it: with a zone, or (zone "") without, which means UTC here."""
    offset = timedelta(hours=2) if zone == "+02:00" else timedelta()
    text = (_EPOCH + timedelta(milliseconds=time_ms) + offset).isoformat(timespec="milliseconds")[:23]
    return (text[:19] if digits == 0 else text) + zone


def leaves(tree: dict[str, Any], time_ms: int, times: tuple[str, ...]) -> Iterator[Value]:
    """The numbers of a JSON object as edge.cddl names them: paths joined by '.', booleans 0 and 1."""
    for path, leaf in _paths("", {name: one for name, one in tree.items() if name not in times}):
        number = _number(leaf)
        if number is not None:
            yield Value(path, "", number, time_ms)


def _paths(path: str, node: Any) -> Iterator[tuple[str, Any]]:
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else None
    if pairs is None:
        yield path, node
        return
    for name, child in pairs:
        yield from _paths(f"{path}.{name}" if path else str(name), child)


def _number(leaf: Any) -> Decimal | None:
    if isinstance(leaf, (bool, int, Decimal)):
        return Decimal(leaf)
    if isinstance(leaf, str) and leaf.replace(".", "", 1).isdigit():
        return Decimal(leaf)
    return None


class ZigbeeClimate:
    """zigbee2mqtt temperature and humidity; last_seen as ISO or as epoch ms, as its setting goes."""

    content_format = JSON

    def __init__(self, dice: Dice, ident: str) -> None:
        self.topic = f"zigbee2mqtt/climate {ident}"
        self._dice = dice
        self._form = dice.choice(("epoch", "Z", "+02:00"))
        self._temperature = Walk(dice, 1500, 2900, digits=2, step=4, daily=200)
        self._humidity = Walk(dice, 3000, 7000, digits=2, step=15, daily=400)
        self._pressure = Walk(dice, 9700, 10300, digits=1, step=1)
        self._voltage = Walk(dice, 2700, 3100, step=2)
        self._battery = Walk(dice, 60, 100, step=0)

    def say(self, time_ms: int) -> Said:
        """With the nulls, texts and unknown objects that such payloads have."""
        seen = time_ms if self._form == "epoch" else iso(time_ms, zone=self._form)
        tree = {
            "battery": self._battery.next(time_ms),
            "humidity": self._humidity.next(time_ms),
            "last_seen": seen,
            "linkquality": self._dice.whole(20, 255),
            "pressure": self._pressure.next(time_ms),
            "temperature": self._temperature.next(time_ms),
            "update": {"installed_version": None, "state": "idle"},
            "voltage": self._voltage.next(time_ms),
        }
        return json_text(tree).encode(), tuple(leaves(tree, time_ms, ("last_seen",)))


class ZigbeeContact:
    """A door contact or motion sensor: booleans."""

    content_format = JSON

    def __init__(self, dice: Dice, ident: str) -> None:
        self.topic = f"zigbee2mqtt/contact {ident}"
        self._dice = dice
        self._name = dice.choice(("contact", "occupancy", "water_leak"))
        self._on = False

    def say(self, time_ms: int) -> Said:
        """One boolean that seldom changes, and the battery."""
        self._on ^= self._dice.happens(0.1)
        tree = {"battery": 100, self._name: self._on, "last_seen": time_ms, "tamper": False, "action": ""}
        return json_text(tree).encode(), tuple(leaves(tree, time_ms, ("last_seen",)))


class TasmotaPlug:
    """tele/NAME/SENSOR of a metering plug: nested, Time in whole seconds."""

    content_format = JSON

    def __init__(self, dice: Dice, ident: str) -> None:
        self.topic = f"tele/plug_{ident}/SENSOR"
        self._power = Walk(dice, 0, 2300, step=40, daily=100)
        self._voltage = Walk(dice, 226, 236, step=1)
        self._factor = Walk(dice, 30, 100, digits=2, step=2)
        self._total = dice.whole(1000, 900_000)

    def say(self, time_ms: int) -> Said:
        """Energy counters go up only."""
        time_ms -= time_ms % 1000
        self._total += 1
        tree = {
            "Time": iso(time_ms, digits=0, zone=""),
            "ENERGY": {
                "TotalStartTime": "2023-02-11T09:30:17",
                "Total": Decimal(self._total).scaleb(-3),
                "Power": self._power.next(time_ms),
                "Factor": self._factor.next(time_ms),
                "Voltage": self._voltage.next(time_ms),
                "Current": (self._power.next(time_ms) / 230).quantize(Decimal("0.001")),
            },
        }
        return json_text(tree).encode(), tuple(leaves(tree, time_ms, ("Time",)))


class Shelly:
    """Shelly-like status: numbers in strings, arrays, ts as seconds with a fraction or unixtime in whole ones."""

    content_format = JSON

    def __init__(self, dice: Dice, ident: str) -> None:
        self.topic = f"shellies/plus-{ident}/status/switch:0"
        self._whole = dice.happens(0.5)
        self._power = Walk(dice, 0, 20_000, digits=1, step=300)
        self._volts = Walk(dice, 2250, 2380, digits=1, step=8)
        self._degrees = Walk(dice, 300, 600, digits=1, step=2)
        self._minutes = [Walk(dice, 0, 9000, digits=3, step=90) for _ in range(3)]

    def say(self, time_ms: int) -> Said:
        """Texts that hold numbers count as numbers."""
        time_ms -= time_ms % 1000 if self._whole else 0
        stamp = time_ms // 1000 if self._whole else Decimal(time_ms).scaleb(-3)
        tree = {
            "id": 0,
            "source": "init",
            "output": True,
            "apower": self._power.next(time_ms),
            "voltage": str(self._volts.next(time_ms)),
            "aenergy": {"by_minute": [walk.next(time_ms) for walk in self._minutes]},
            "temperature": {"tC": self._degrees.next(time_ms), "tF": None},
            "unixtime" if self._whole else "ts": stamp,
        }
        return json_text(tree).encode(), tuple(leaves(tree, time_ms, ("ts", "unixtime")))


class EsphomeState:
    """A state topic with a bare number and no time."""

    content_format = TEXT

    def __init__(self, dice: Dice, ident: str) -> None:
        self.topic = f"esphome/node-{ident}/sensor/illuminance/state"
        self._lux = Walk(dice, -500, 90_000, digits=1, step=900, daily=9000)

    def say(self, time_ms: int) -> Said:
        """Digits and nothing else."""
        number = self._lux.next(time_ms)
        return format(number, "f").encode(), (Value("", "", number, None),)


_HISTORY = (-800, -400, 0)
"""Offsets (ms) of the temperatures in one SenML pack."""


class SenmlSensor:
    """SenML (RFC 8428): base name, base time, base unit, relative times, a boolean and a text record."""

    def __init__(self, dice: Dice, ident: str, *, cbor: bool) -> None:
        self._cbor = cbor
        self.topic = f"senml/{'cbor' if cbor else 'json'}/{ident}"
        self.content_format = SENML_CBOR if cbor else SENML_JSON
        self._base = f"urn:dev:mac:{ident:0>12}:"
        self._dice = dice
        # Eighths are exact as binary floats too, which CBOR sensors send.
        self._eighths = Walk(dice, 120, 240, step=2, daily=8)
        self._humidity = Walk(dice, 300, 700, digits=1, step=3)

    def say(self, time_ms: int) -> Said:
        """Three temperatures with relative times, then humidity, motion and a label."""
        history = [self._eighths.next(time_ms) / 8 for _ in _HISTORY]
        humidity = self._humidity.next(time_ms)
        moving = self._dice.happens(0.3)
        records: list[list[tuple[str, Any]]] = [
            [("n", "temp"), ("t", Decimal(offset).scaleb(-3)), ("v", number)]
            for offset, number in zip(_HISTORY, history, strict=True)
        ]
        records[0] = [("bn", self._base), ("bt", Decimal(time_ms).scaleb(-3)), ("bu", "Cel"), *records[0]]
        records += [
            [("n", "rh"), ("u", "%RH"), ("v", humidity)],
            [("n", "motion"), ("u", "/"), ("vb", moving)],
            [("n", "label"), ("vs", "living room")],
        ]
        values = (
            *(
                Value(f"{self._base}temp", "Cel", number, time_ms + offset)
                for offset, number in zip(_HISTORY, history, strict=True)
            ),
            Value(f"{self._base}rh", "%RH", humidity, time_ms),
            Value(f"{self._base}motion", "/", Decimal(moving), time_ms),
        )
        return self._packed(records), values

    def _packed(self, records: list[list[tuple[str, Any]]]) -> bytes:
        if not self._cbor:
            return json_text([dict(record) for record in records]).encode()
        return cbor2.dumps([{_LABELS[name]: self._item(one) for name, one in record} for record in records])

    def _item(self, value: Any) -> Any:
        """Numbers in all forms that CBOR has for them: integer, float, decimal fraction (tag 4)."""
        if not isinstance(value, Decimal):
            return value
        if value == value.to_integral_value():
            return int(value)
        return float(value) if value % Decimal("0.125") == 0 and self._dice.happens(0.5) else value


_LABELS = {"bn": -2, "bt": -3, "bu": -4, "n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4, "t": 6}
"""RFC 8428 section 6, table 4."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of sensor, its share of a home in per cent, and how it speaks."""

    name: str
    share: int
    via: Via
    make: Callable[[Dice, str], Sensor]


KINDS = (
    Kind("zigbee2mqtt climate", 30, Via.MQTT, ZigbeeClimate),
    Kind("zigbee2mqtt contact", 10, Via.MQTT, ZigbeeContact),
    Kind("Tasmota plug", 15, Via.MQTT, TasmotaPlug),
    Kind("Shelly", 15, Via.MQTT, Shelly),
    Kind("ESPHome state", 10, Via.MQTT, EsphomeState),
    Kind("SenML JSON", 5, Via.MQTT, lambda dice, ident: SenmlSensor(dice, ident, cbor=False)),
    Kind("SenML CBOR", 5, Via.MQTT, lambda dice, ident: SenmlSensor(dice, ident, cbor=True)),
    Kind("SenML JSON", 4, Via.COAP, lambda dice, ident: SenmlSensor(dice, ident, cbor=False)),
    Kind("SenML CBOR", 6, Via.COAP, lambda dice, ident: SenmlSensor(dice, ident, cbor=True)),
)
"""Shares add up to 100; without a CoAP address those sensors speak MQTT."""

TOPICS = ("zigbee2mqtt/#", "tele/#", "shellies/#", "esphome/#", "senml/#")
"""Filters that take all of them."""
AGE_MS = 1000
"""How much older than their moment of sending values may be: Tasmota's whole seconds, SenML's history."""
