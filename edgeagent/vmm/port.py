"""What the agent needs of a virtual machine monitor, whichever it is."""

from __future__ import annotations

import enum
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Accelerator(enum.StrEnum):
    """How guest instructions are run: by the CPU, or by an emulator (which isolates less)."""

    KVM = "kvm"
    TCG = "tcg"


@dataclass(frozen=True, slots=True)
class MachineLimits:
    """What a VMM may use, guest and all."""

    memory: int
    """Bytes."""
    cpu: float
    """Of one core: 0.8 is four fifths of it."""
    weight: int
    """Its part where CPU is short, beside others' weights: 1 to 10,000."""
    tasks: int
    """Threads and processes."""


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """A machine to start. memory: bytes of guest RAM."""

    name: str
    arch: str
    accelerator: Accelerator
    memory: int
    image: Path
    user: str = ""
    """Whom the VMM should run as, when the agent may choose; empty: the least privileged that there is."""
    paused: bool = False
    """Build it, but run no instruction before ``resume``."""
    limits: MachineLimits | None = None
    """None: only its jail holds it."""
    gdb: int | None = None
    """Descriptor of a listening socket where a debugger may take hold of the guest; None: nowhere."""


class End(enum.StrEnum):
    """How a machine came to its end."""

    PANICKED = "panicked"
    RESET = "guest-reset"
    SHUTDOWN = "guest-shutdown"
    INTERNAL_ERROR = "internal-error"
    IO_ERROR = "io-error"
    WATCHDOG = "watchdog"
    EXITED = "exited"
    SIGNALLED = "signalled"


@dataclass(frozen=True, slots=True)
class Ending:
    """The evidence of an end, as the VMM gave it.

    ``status`` is the exit status, negative for a signal, None while the VMM still holds the dead guest.
    ``signal`` is the signal's name. ``events`` are the last events, oldest first; ``stderr`` the last lines.
    ``limit`` says which limit it went over, when that is what ended it.
    """

    end: End
    status: int | None
    events: tuple[str, ...]
    stderr: str
    signal: str = ""
    limit: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a VMM has used since it started, guest and all: seconds and bytes."""

    cpu_s: float
    """User and system time of all its threads, as of one core."""
    rss: int
    """Resident: guest RAM that was touched, QEMU's own, and what it shares with others."""
    pss: int
    """As rss, but a page that n processes share counts as an nth; 0 where the kernel doesn't say."""
    threads: int
    throttled_s: float = 0.0
    """How long its CPU limit held it back."""


@dataclass(frozen=True, slots=True)
class VmmInfo:
    """A VMM that is installed. accelerators: those it was built with."""

    path: str
    version: str
    accelerators: tuple[str, ...]


class Running(Protocol):
    """A VMM with its guest, whichever VMM and whatever guest."""

    @property
    def pid(self) -> int:
        """Of the VMM."""

    @property
    def channel(self) -> socket.socket:
        """Our end of the one byte stream to the guest, non-blocking; belongs to the machine.

        A unit's data channel, or the console of somebody else's image.
        """

    @property
    def jail(self) -> tuple[str, ...]:
        """What holds the VMM, and what is missing, in words."""

    async def ended(self) -> Ending:
        """Wait for the end; may be called again and says the same."""

    def usage(self) -> Usage | None:
        """What it has used so far; None once the VMM is gone. Costs some hundred microseconds: not for every frame."""

    async def kill(self) -> int:
        """End it now, reap it and give everything back; the exit status. Does no harm when repeated."""


class Machine(Running, Protocol):
    """A unit's machine. Its memory can be read until ``kill``, also after the VMM died."""

    @property
    def version(self) -> str:
        """Of the VMM; "" until it has said it."""

    async def resume(self) -> None:
        """Run a machine that was started paused. GuestError if it can't."""

    def read_memory(self, address: int, size: int) -> bytes:
        """Guest RAM at a guest physical address; ValueError outside of it."""


class Vmm(Protocol):
    """Starts machines."""

    async def describe(self, arch: str) -> VmmInfo:
        """What would run guests of this architecture; EnvironmentFaultError when it isn't there or doesn't work."""

    async def start(self, spec: MachineSpec) -> Machine:
        """Start one.

        EnvironmentFaultError when the VMM isn't there or may not be run, ImageError when the image can't be read.
        What only shows later (no KVM, an image that isn't one) is the machine's end.
        """
