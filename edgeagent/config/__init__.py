"""The configuration: TOML in, one frozen typed Config out; one row per setting."""

from .load import load, parse
from .schema import Board, Coap, Config, Journal, Metrics, Mqtt, Seal, Unit, Uplink

__all__ = [
    "Board",
    "Coap",
    "Config",
    "Journal",
    "Metrics",
    "Mqtt",
    "Seal",
    "Unit",
    "Uplink",
    "load",
    "parse",
]
