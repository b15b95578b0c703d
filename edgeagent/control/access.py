"""Core: who may ask the agent for what. The only place that decides it."""

from __future__ import annotations

from dataclasses import dataclass

ROOT = 0


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of the socket, as the kernel says (unix(7), SO_PEERCRED)."""

    pid: int
    uid: int

    def __str__(self) -> str:
        """For the log."""
        return f"user {self.uid}, process {self.pid}"


def may(peer: Peer, own_uid: int, *, changes: bool) -> bool:
    """Whoever can connect may look (the socket's mode says who can); only root and the agent's own user may change."""
    return not changes or peer.uid in (ROOT, own_uid)
