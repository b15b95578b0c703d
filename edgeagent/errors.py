"""What can go wrong, by whose fault it is. A message says what, where, and what to do."""

from __future__ import annotations


class EdgeAgentError(Exception):
    """Base of all errors that a person may see: one clear line each.

    ``what`` names the fault, ``where`` the file, key, address or unit, ``remedy`` the next step.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what, where, remedy)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        return f"{line}. {self.remedy}" if self.remedy else line


class ConfigError(EdgeAgentError):
    """The configuration or a command's arguments can't be used; nothing was changed."""

    exit_code = 2


class EnvironmentFaultError(EdgeAgentError):
    """The machine lacks something: a program, a permission, memory, disk space."""

    exit_code = 3


class UnreachableError(EdgeAgentError):
    """A peer (broker, collector, control socket, database) doesn't answer."""

    exit_code = 4


class DamagedError(EdgeAgentError):
    """Stored or received bytes aren't what they must be: checksum, signature, format."""

    exit_code = 5


class ImageError(EdgeAgentError):
    """An image can't be run: wrong architecture, truncated, no declaration."""

    exit_code = 6


class GuestError(EdgeAgentError):
    """A guest broke its contract, crashed, hung or refused its configuration."""

    exit_code = 7


class LocalProtocolError(EdgeAgentError):
    """Our side asked a protocol core for something that its state doesn't allow: a defect here."""


class RemoteProtocolError(DamagedError):
    """The other side sent what its protocol doesn't allow."""
