"""Core: what a manifest's command sequences ask of a device (draft-ietf-suit-manifest-34, sections 6 and 8.4).

Nothing is done here. A sequence is walked for one device, and what would have to be done comes out as steps, in order;
a condition that doesn't hold ends it. Commands outside the subset are refused before the first one counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from edgeagent.errors import EdgeAgentError
from edgeagent.seal import strict

from .suit import MAX_MANIFEST, MAX_URI, Manifest, fault, read_digest

# Conditions and directives of the subset
VENDOR_IDENTIFIER, CLASS_IDENTIFIER, IMAGE_MATCH, COMPONENT_SLOT, DEVICE_IDENTIFIER = 1, 2, 3, 5, 24
SET_COMPONENT_INDEX, TRY_EACH, OVERRIDE_PARAMETERS, FETCH, INVOKE = 12, 15, 20, 21, 23
# Parameters that have other numbers than the condition that looks at them
IMAGE_DIGEST, IMAGE_SIZE, URI = 3, 14, 21

CONDITIONS = frozenset({VENDOR_IDENTIFIER, CLASS_IDENTIFIER, COMPONENT_SLOT, DEVICE_IDENTIFIER})
"""Decided from the device alone; image-match needs the image, and so is a step."""
MAX_COMMANDS = 256
"""Of one sequence, nested ones included."""
MAX_DEPTH = 4
MAX_IMAGE = 64 << 20
"""Bytes that a manifest may ask for."""
UUID_SIZE = 16


class NotForThisDeviceError(EdgeAgentError):
    """A condition of the manifest doesn't hold here."""


@dataclass(frozen=True, slots=True)
class Device:
    """Who asks. Identifiers are UUIDs of 16 bytes; classes: all that apply (architecture, board)."""

    vendor: bytes
    classes: frozenset[bytes]
    device: bytes
    slots: tuple[int, ...]
    """For each component: the slot that would be written."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of one component, as overridden so far."""

    vendor: bytes | None = None
    class_: bytes | None = None
    device: bytes | None = None
    slot: int | None = None
    digest: bytes | None = None
    size: int | None = None
    uri: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done with a component; the parameters are complete for it."""

    do: int
    """FETCH, IMAGE_MATCH or INVOKE."""
    component: int
    parameters: Parameters


def _uuid(value: Any) -> bytes:
    if not isinstance(value, bytes) or len(value) != UUID_SIZE:
        raise fault("an identifier is no UUID")
    return value


def _number(limit: int) -> Any:
    def read(value: Any) -> int:
        if not isinstance(value, int) or not 0 <= value <= limit:
            raise fault(f"a number isn't from 0 to {limit}")
        return value

    return read


def _uri(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_URI:
        raise fault("a URI is no short text")
    return value


_PARAMETERS = {
    VENDOR_IDENTIFIER: ("vendor", _uuid),
    CLASS_IDENTIFIER: ("class_", _uuid),
    DEVICE_IDENTIFIER: ("device", _uuid),
    COMPONENT_SLOT: ("slot", _number(255)),
    IMAGE_DIGEST: ("digest", read_digest),
    IMAGE_SIZE: ("size", _number(MAX_IMAGE)),
    URI: ("uri", _uri),
}
"""Number: field of Parameters, and how it is read."""

_NEEDS = {
    FETCH: ("digest", "size", "uri"),
    IMAGE_MATCH: ("digest", "size"),
    INVOKE: (),
}
"""Step: what must be known for it."""


def steps(manifest: Manifest, section: int, device: Device) -> tuple[Step, ...]:
    """What that section asks of the device; empty when the manifest has no such section.

    Raises NotForThisDeviceError when a condition doesn't hold, RemoteProtocolError for what the subset doesn't have.
    """
    walk = _Walk(manifest, device)
    if manifest.shared is not None:
        walk.sequence(manifest.shared, 0)
        if walk.steps:
            raise fault("the shared sequence fetches, matches or invokes")
    if section in manifest.sequences:
        walk.current = (0,)
        walk.sequence(manifest.sequences[section], 0)
    return tuple(walk.steps)


def check(manifest: Manifest) -> None:
    """Every command of every section is in the subset, whatever device it is for. RemoteProtocolError if not."""
    for data in (manifest.shared, *manifest.sequences.values()):
        if data is not None:
            left = MAX_COMMANDS
            for _ in _all_commands(data, 0):
                left -= 1
                if left < 0:
                    raise fault(f"a sequence has more than {MAX_COMMANDS} commands")


def _commands(data: Any) -> Iterator[tuple[int, Any]]:
    found = strict.loads(data, limit=MAX_MANIFEST, what="a sequence") if isinstance(data, bytes) else None
    if not isinstance(found, list) or not found or len(found) % 2:
        raise fault("a sequence is no array of commands and arguments")
    return zip(found[::2], found[1::2], strict=True)


def _branches(argument: Any) -> list[Any]:
    if not isinstance(argument, list) or len(argument) < 2:
        raise fault("try-each has less than two sequences")
    return argument


def _all_commands(data: Any, depth: int) -> Iterator[int]:
    if depth > MAX_DEPTH:
        raise fault(f"sequences are nested deeper than {MAX_DEPTH}")
    for command, argument in _commands(data):
        if command not in CONDITIONS | _NEEDS.keys() | {SET_COMPONENT_INDEX, TRY_EACH, OVERRIDE_PARAMETERS}:
            raise fault(f"it has the command {command!r:.20}, which edgeagent doesn't obey")
        yield command
        if command == TRY_EACH:
            for branch in _branches(argument):
                if branch is not None:
                    yield from _all_commands(branch, depth + 1)


class _Walk:
    """One section, for one device."""

    def __init__(self, manifest: Manifest, device: Device) -> None:
        check(manifest)
        self.steps: list[Step] = []
        self.current: tuple[int, ...] = (0,)
        self._device = device
        self._parameters = [Parameters()] * len(manifest.components)

    def sequence(self, data: bytes, depth: int) -> None:
        for command, argument in _commands(data):
            if command == SET_COMPONENT_INDEX:
                self._select(argument)
            elif command == TRY_EACH:
                self._try_each(argument, depth)
            elif command == OVERRIDE_PARAMETERS:
                self._override(argument)
            elif command in CONDITIONS:
                self._require(command)
            else:
                self._step(command)

    def _select(self, argument: Any) -> None:
        wanted = argument if isinstance(argument, list) else [argument]
        count = len(self._parameters)
        if not wanted or not all(isinstance(one, int) and 0 <= one < count for one in wanted):
            raise fault(f"a component index isn't from 0 to {count - 1}")
        self.current = tuple(wanted)

    def _override(self, argument: Any) -> None:
        if not isinstance(argument, dict) or not argument:
            raise fault("parameters are no map")
        changed: dict[str, Any] = {}
        for number, value in argument.items():
            if number not in _PARAMETERS:
                raise fault(f"it has the parameter {number!r:.20}, which edgeagent doesn't know")
            name, read = _PARAMETERS[number]
            changed[name] = read(value)
        for index in self.current:
            self._parameters[index] = replace(self._parameters[index], **changed)

    def _require(self, condition: int) -> None:
        device = self._device
        for index in self.current:
            said = self._parameters[index]
            name, wanted, here = {
                VENDOR_IDENTIFIER: ("vendor", said.vendor, {device.vendor}),
                CLASS_IDENTIFIER: ("class", said.class_, device.classes),
                DEVICE_IDENTIFIER: ("device", said.device, {device.device}),
                COMPONENT_SLOT: ("slot", said.slot, set(device.slots[index : index + 1])),
            }[condition]
            if wanted is None:
                raise fault(f"it asks for a {name} and doesn't say which")
            if wanted not in here:
                words = str(wanted) if isinstance(wanted, int) else wanted.hex()
                raise NotForThisDeviceError(f"the update is for {name} {words}, which isn't this one")

    def _try_each(self, argument: Any, depth: int) -> None:
        """The first branch whose conditions hold; what a failing one has set is forgotten."""
        failed: NotForThisDeviceError | None = None
        for branch in _branches(argument):
            if branch is None:
                return
            before = list(self._parameters), self.current, len(self.steps)
            try:
                self.sequence(branch, depth + 1)
            except NotForThisDeviceError as error:
                failed = error
                self._parameters, self.current = before[:2]
                del self.steps[before[2] :]
            else:
                return
        if failed:
            raise failed

    def _step(self, command: int) -> None:
        for index in self.current:
            said = self._parameters[index]
            for name in _NEEDS[command]:
                if getattr(said, name) is None:
                    raise fault(f"component {index} has a step without its {name}")
            self.steps.append(Step(command, index, said))
