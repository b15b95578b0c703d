"""Opens everything that a start needs, before anything runs: what can't be used is one clear line."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edgeagent.config.schema import Config, Unit
from edgeagent.errors import EnvironmentFaultError
from edgeagent.host.disk import FolderLock, remove_leftovers
from edgeagent.host.files import Files
from edgeagent.image.inspection import ImageInfo
from edgeagent.ingest.delivery import newest_mqtt
from edgeagent.journal.chain import Recovery
from edgeagent.journal.durability import DURABILITY
from edgeagent.journal.spool import Spool
from edgeagent.probe.live import host_arch
from edgeagent.seal.keys import VerifyKey
from edgeagent.seal.keystore import KeyStore, load_recipients, load_verifiers
from edgeagent.unit.settings import guest_config

from .batches import Sealing
from .images import check_state, read_image
from .journals import UnitJournal, open_journal

_FULL = "Make room on its disk, then start the agent again."
REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: "Check its disk (`dmesg`), mount it writable, or set board.state to another folder.",
}
"""What to do about a disk that lets nothing be opened."""

_log = logging.getLogger("agent")


@dataclass(frozen=True, slots=True)
class Place:
    """A unit's image, and where its guest goes on from."""

    unit: Unit
    path: Path
    image: ImageInfo
    journal: UnitJournal


@dataclass(frozen=True, slots=True)
class Opened:
    """All that was opened; its owner's stack closes it."""

    sealing: Sealing
    verifiers: tuple[VerifyKey, ...]
    spool: Spool
    places: tuple[Place, ...]


def read_keys(config: Config, files: Files) -> tuple[Sealing, tuple[VerifyKey, ...]]:
    """As whom and for whom batches are sealed, and who may acknowledge them."""
    keys = KeyStore(files, config.seal.keys or config.board.state / "keys")
    recipients = load_recipients(files, config.seal.recipients)
    sealing = Sealing(config.board.name, keys.signer(), recipients, config.seal.cipher)
    return sealing, tuple(load_verifiers(files, config.uplink.collector_keys))


def open_board(config: Config, files: Files, stack: ExitStack) -> Opened:
    """Lock the state folder, read keys and images, recover spool and journals. EdgeAgentError or OSError."""
    board, journal = config.board, config.journal
    stack.callback(_take_folder(files, board.state).release)
    sealing, verifiers = read_keys(config, files)
    spool = Spool.open(
        files,
        board.state / "spool",
        new_id=os.urandom(16),
        cap_bytes=journal.spool_cap,
        when_full="drop-oldest" if journal.when_full == "drop-oldest" else "block",
        on_damage="skip" if journal.on_damage == "skip" else "stop",
    )
    stack.callback(spool.close)
    _tell("spool", spool.recovery)
    places = tuple(_place(unit, config, files, spool, stack) for unit in config.units)
    _tell_of_others(config, files)
    return Opened(sealing, verifiers, spool, places)


def _take_folder(files: Files, folder: Path) -> FolderLock:
    try:
        files.make_folder(folder)
        lock = FolderLock(folder)
        remove_leftovers(folder)
    except OSError as error:
        raise EnvironmentFaultError(
            f"the state folder can't be used: {error.strerror}",
            where=str(folder),
            remedy=REMEDIES.get(error.errno or 0, "Set board.state to a folder that the agent may write."),
        ) from error
    return lock


def _units_folder(config: Config) -> Path:
    """In a tmpfs, as /run is, where durability is memory: a power cut loses it, and flash is spared."""
    lossy = DURABILITY[config.journal.durability].lossy
    return (config.board.runtime / "journal" if lossy else config.board.state) / "units"


def _tell_of_others(config: Config, files: Files) -> None:
    folder = _units_folder(config)
    for name in sorted(set(files.names(folder)) - {unit.name for unit in config.units}):
        _log.warning(
            "unit %s isn't configured any more, but readings of it may wait in %s: configure it again to have them "
            "processed, or remove the folder",
            name,
            folder / name,
        )


def _place(unit: Unit, config: Config, files: Files, spool: Spool, stack: ExitStack) -> Place:
    path, image = read_image(unit, config.board, host_arch())
    lossy = DURABILITY[config.journal.durability].lossy
    folder = _units_folder(config) / unit.name
    journal = open_journal(
        files,
        folder,
        unit=unit.name,
        cap=config.journal.log_cap,
        lossy=lossy,
        spooled=spool.last,
        config=guest_config(unit),
    )
    stack.callback(journal.log.close)
    _tell(f"unit {unit.name}", journal.log.recovery)
    for damaged in journal.damaged:
        _log.warning("unit %s: %s can't be read; the other checkpoint is used", unit.name, damaged)
    check_state(path, image, journal.starts[0], folder)
    return Place(unit, path, image, journal)


def _tell(what: str, recovery: Recovery) -> None:
    if recovery.cut:
        _log.warning(
            "%s: %d bytes that were never committed are cut off, %d records among them",
            what,
            recovery.cut,
            recovery.behind,
        )


def recall(places: Iterable[Place]) -> tuple[int, int]:
    """What the newest segments of the logs remember: the newest arrival time (ms) and the newest MQTT tag."""
    newest, tag = 0, 0
    for place in places:
        for one in place.journal.log.tail():
            newest = max(newest, one.time_ms)
            tag = max(tag, newest_mqtt((one.tag,)))
    return newest, tag
