"""Core: a bundle: one SUIT envelope for images of one or more architectures, with their contract.

The manifest has two components, contract and image; which image is decided by the device's classes. Contents are named
by their URI, "#NAME": they may lie in the envelope (a file on a stick) or beside it (a repository), the digest tells.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from uuid import NAMESPACE_URL, UUID, uuid5

from edgeagent.errors import ConfigError
from edgeagent.seal import strict
from edgeagent.seal.cose import KeyedVerifier, Signer

from . import commands, suit
from .commands import Device
from .contract import Contract, encode
from .suit import Envelope, Manifest, fault

VENDOR = uuid5(NAMESPACE_URL, "urn:edgeagent:guest")
"""Of every bundle for edgeagent's guests."""
CONTRACT, IMAGE = 0, 1
"""Indices of the components."""
_NAMES = ((b"contract",), (b"image",))
_POLICY = 15


def class_of_arch(arch: str) -> UUID:
    """The class of all boards that run guests of an architecture."""
    return uuid5(VENDOR, f"arch:{arch}")


def class_of_board(profile: str) -> UUID:
    """The class of all boards of a profile."""
    return uuid5(VENDOR, f"board:{profile}")


def device(arch: str, profile: str, name: str) -> Device:
    """A board as manifests see it. Slots aren't theirs to choose."""
    classes = frozenset((class_of_arch(arch).bytes, class_of_board(profile).bytes))
    return Device(VENDOR.bytes, classes, uuid5(VENDOR, f"device:{name}").bytes, (0, 0))


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that are named: digest is SHA-256, size in bytes."""

    uri: str
    digest: bytes
    size: int

    def verify(self, data: bytes) -> bytes:
        """The data, if it is this. RemoteProtocolError otherwise."""
        if len(data) != self.size or hashlib.sha256(data).digest() != self.digest:
            raise fault(f"{self.uri} isn't what its author signed")
        return data


class _EveryClass(frozenset[bytes]):
    """The classes of a board that nothing is wrong for."""

    def __contains__(self, _: object) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Opened:
    """A bundle that one of the known authors signed; its contents are still to be verified."""

    manifest: Manifest
    author: KeyedVerifier

    @property
    def sequence(self) -> int:
        """Its number, which never goes back."""
        return self.manifest.sequence

    @property
    def contract(self) -> Content:
        """The same for all boards."""
        return _contents(self.manifest, Device(VENDOR.bytes, _EveryClass(), b"", (0, 0)))[CONTRACT]

    def image(self, board: Device) -> Content:
        """The image for a board. NotForThisDeviceError when it has none."""
        return _contents(self.manifest, board)[IMAGE]


# ---- writing -----------------------------------------------------------------------------------------------------


def build(contract: Contract, images: Mapping[str, bytes], signers: Iterable[Signer]) -> bytes:
    """A signed bundle with everything in it. images: by architecture, in the order of preference."""
    if not images:
        raise ConfigError("a bundle without images is none")
    terms = encode(contract)
    contents = {arch: _content(f"#{arch}", data) for arch, data in images.items()}
    said = _content("#contract", terms)
    manifest = Manifest(contract.app.sequence, _NAMES, _shared(contract, said, contents), _SEQUENCES)
    envelope = suit.sign(suit.encode_manifest(manifest), signers)
    payloads = {said.uri: terms, **{contents[arch].uri: data for arch, data in images.items()}}
    return suit.encode(replace(envelope, payloads=payloads))


def sign(envelope: Envelope, signer: Signer) -> Envelope:
    """The same with one more signature."""
    more = suit.sign(envelope.manifest, [signer])
    return replace(envelope, signatures=(*envelope.signatures, *more.signatures))


def _content(uri: str, data: bytes) -> Content:
    return Content(uri, hashlib.sha256(data).digest(), len(data))


def _sequence(*words: object) -> bytes:
    return strict.dumps(list(words))


def _takes(content: Content) -> dict[int, object]:
    return {
        commands.IMAGE_DIGEST: strict.dumps([suit.SHA256, content.digest]),
        commands.IMAGE_SIZE: content.size,
        commands.URI: content.uri,
    }


def _shared(contract: Contract, said: Content, contents: Mapping[str, Content]) -> bytes:
    boards = [_of_class(class_of_board(one), {}) for one in contract.app.boards]
    archs = [_of_class(class_of_arch(arch), _takes(one)) for arch, one in contents.items()]
    vendor = [commands.OVERRIDE_PARAMETERS, {commands.VENDOR_IDENTIFIER: VENDOR.bytes}]
    return _sequence(
        commands.SET_COMPONENT_INDEX, CONTRACT,
        commands.OVERRIDE_PARAMETERS, _takes(said),
        commands.SET_COMPONENT_INDEX, IMAGE,
        *vendor, commands.VENDOR_IDENTIFIER, _POLICY,
        *(_any_of(boards) if boards else ()),
        *_any_of(archs),
    )  # fmt: skip


def _of_class(one: UUID, parameters: Mapping[int, object]) -> list[object]:
    return [
        *(commands.OVERRIDE_PARAMETERS, {commands.CLASS_IDENTIFIER: one.bytes, **parameters}),
        *(commands.CLASS_IDENTIFIER, _POLICY),
    ]


def _any_of(branches: list[list[object]]) -> list[object]:
    """The draft wants two sequences at least for a choice."""
    if len(branches) == 1:
        return branches[0]
    return [commands.TRY_EACH, [strict.dumps(one) for one in branches]]


def _both(*steps: int) -> bytes:
    return _sequence(
        *(
            word
            for component in (CONTRACT, IMAGE)
            for word in (
                commands.SET_COMPONENT_INDEX,
                component,
                *(one for step in steps for one in (step, _POLICY)),
            )
        )
    )


_SEQUENCES = {
    suit.INSTALL: _both(commands.FETCH, commands.IMAGE_MATCH),
    suit.VALIDATE: _both(commands.IMAGE_MATCH),
    suit.INVOKE: _sequence(commands.SET_COMPONENT_INDEX, IMAGE, commands.INVOKE, _POLICY),
}


# ---- reading -----------------------------------------------------------------------------------------------------


def open_bundle(envelope: Envelope, keys: Iterable[KeyedVerifier]) -> Opened:
    """The bundle, if one of these authors signed it.

    Raises UnknownKeyError for another author, RemoteProtocolError for everything else.
    """
    manifest, author = suit.verify(envelope, keys)
    if manifest.components != _NAMES:
        raise fault("its components aren't contract and image")
    return Opened(manifest, author)


def _contents(manifest: Manifest, board: Device) -> dict[int, Content]:
    found: dict[int, Content] = {}
    matched = set()
    for step in commands.steps(manifest, suit.INSTALL, board):
        said = step.parameters
        if step.do == commands.FETCH and said.uri and said.digest is not None and said.size is not None:
            found[step.component] = Content(said.uri, said.digest, said.size)
        if step.do == commands.IMAGE_MATCH:
            matched.add(step.component)
    started = [step.component for step in commands.steps(manifest, suit.INVOKE, board)]
    if found.keys() != {CONTRACT, IMAGE} or matched != found.keys() or started != [IMAGE]:
        raise fault("it doesn't fetch and check contract and image, and start the image")
    return found


def content_of(envelope: Envelope, content: Content) -> bytes:
    """A content that lies in the envelope, verified. RemoteProtocolError when it isn't there or isn't it."""
    data = envelope.payloads.get(content.uri)
    if data is None:
        raise fault(f"{content.uri} isn't in it")
    return content.verify(data)
