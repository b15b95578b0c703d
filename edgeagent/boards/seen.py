"""Core: the board that a machine is, and whether the probe found on it what its profile expects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .match import Identity, Match


@dataclass(frozen=True, slots=True)
class Seen:
    """name: of the profile, or generic-ARCH; "" when nothing is known. match: None when no profile fits."""

    name: str = ""
    match: Match | None = None

    def warning(self, verdict: str, reason: str) -> str:
        """Why a verdict is odd on this board, with its trap; "" when it is as expected or nothing is."""
        if self.match is None:
            return ""
        kvm = self.match.profile.kvm
        if kvm.verdict in ("unknown", verdict):
            return ""
        trap = " ".join(kvm.trap.split())
        return f"{self.name} should answer {kvm.verdict} ({kvm.reason}), not {verdict} ({reason}). {trap}".rstrip()

    def as_json(self, verdict: str, reason: str) -> dict[str, Any] | None:
        """What the profile says, and ``warning`` when the verdict is another one; None without a profile."""
        if self.match is None:
            return None
        profile = self.match.profile
        return {
            "title": profile.board.title,
            "recognised_by": self.match.by,
            "expected": {"verdict": profile.kvm.verdict, "reason": profile.kvm.reason},
            "warning": self.warning(verdict, reason) or None,
            "defaults": {
                f"{table}.{setting}": value
                for table, values in profile.defaults.items()
                for setting, value in values.items()
            },
        }


def seen(identity: Identity, match: Match | None) -> Seen:
    """The board by its profile; generic-ARCH where none describes it."""
    if match:
        return Seen(match.profile.name, match)
    return Seen(f"generic-{identity.arch}" if identity.arch else "")
