"""Core: what is synced when, what that may lose, and what it writes to the flash in a day."""

from __future__ import annotations

from dataclasses import dataclass

PAGE = 4096
"""Bytes; the least that a file system writes of a file."""
SYNC_PAGES = 3
"""That a sync adds on a journalling file system: descriptor, inode, commit."""
GROWTH_PAGES = 3
"""More of them when the file takes new blocks: bitmap, group, superblock."""
REPLACE_PAGES = 16
"""That Files.replace adds: two commits with inodes, folder and bitmaps."""
WRITEBACK_S = 30.0
"""Linux writes dirty pages after this long, asked or not (vm.dirty_expire_centisecs)."""
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Durability:
    """What a setting of journal.durability does. The spool and checkpoints are synced whatever it is.

    A batch that is spooled may be sent, and its number must never be given again; so there is nothing to choose.
    ``loses``: what a power cut may take, for people. The death of the agent alone never loses anything.
    """

    sync_log: bool
    lossy: bool
    loses: str


DURABILITY = {
    "disk": Durability(
        sync_log=True,
        lossy=False,
        loses="nothing that was acknowledged; readings that wait for their group are sent again by their source "
        "(QoS 1, CoAP confirmable) or lost (QoS 0, CoAP non-confirmable)",
    ),
    "memory": Durability(
        sync_log=False,
        lossy=True,
        loses="acknowledged readings that aren't sealed yet, and open windows: the log is in a tmpfs",
    ),
}


@dataclass(frozen=True, slots=True)
class Load:
    """readings and batches per second, their mean bytes in the log and the spool; checkpoints per second, their bytes.

    A reading's bytes are topic and payload and about 50.
    """

    readings: float
    reading_bytes: float
    batches: float
    batch_bytes: float
    checkpoints: float
    checkpoint_bytes: float


@dataclass(frozen=True, slots=True)
class Written:
    """Bytes per day that reach the device, file system's journal included; the device's own amplification isn't."""

    log: int
    spool: int
    checkpoints: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.log + self.spool + self.checkpoints


def appended(rate: float, size: float, commits: float, *, sync: bool) -> float:
    """Bytes per second for appending ``rate`` records of ``size`` bytes in at most ``commits`` groups per second.

    Each group writes its last page again next time, and a sync adds the file system's journal.
    """
    if not sync:
        commits = 1 / WRITEBACK_S
    groups = min(rate, commits)
    if not groups:
        return 0.0
    data = rate * size / groups
    # A group begins anywhere in a page, so on average it touches one page more than it fills.
    pages = data / PAGE + 1 + SYNC_PAGES + GROWTH_PAGES * min(1.0, data / PAGE)
    return groups * pages * PAGE


def estimate(load: Load, durability: Durability, group_interval: float) -> Written:
    """Bytes written per day. group_interval: seconds, journal.group_interval.

    The numbers of pages were measured on ext4 (default options, the kernel's count of sectors): 17.0 KB for a commit
    of 144 bytes, 34.4 KB for 7,200, 98.8 KB for 72,000, and 89.5 KB for a checkpoint of 20,000.
    """
    commits = 1 / group_interval if group_interval else float("inf")
    log = appended(load.readings, load.reading_bytes, commits, sync=durability.sync_log)
    spool = appended(load.batches, load.batch_bytes, load.batches, sync=True)
    replaced = load.checkpoint_bytes + PAGE / 2 + REPLACE_PAGES * PAGE
    return Written(
        log=round(DAY_S * log),
        spool=round(DAY_S * spool),
        checkpoints=round(DAY_S * load.checkpoints * replaced),
    )
