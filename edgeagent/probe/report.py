"""Core: what the probe answers, as one object for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgeagent.boards.facts import Facts
from edgeagent.boards.seen import Seen

from .answer import Verdict
from .choice import Choice
from .evidence import Evidence

UNSEEN = Seen()
NO_FACTS = Facts()


@dataclass(frozen=True, slots=True)
class Report:
    """A board, judged. cached: the speeds were measured earlier since this boot.

    board: which one it is; facts: what it has beside its processor.
    """

    evidence: Evidence
    verdict: Verdict
    choice: Choice
    cached: bool
    board: Seen = UNSEEN
    facts: Facts = NO_FACTS

    def as_json(self) -> dict[str, Any]:
        """Keys and units as documented for `edgeagent probe --json`; null: not known."""
        found = self.evidence
        return {
            "arch": found.system.arch or None,
            "board": self.board.name or None,
            "profile": self.board.as_json(self.verdict.answer.value, self.verdict.reason),
            "kvm": {
                "verdict": self.verdict.answer.value,
                "reason": self.verdict.reason,
                "evidence": list(self.verdict.evidence),
                "remedy": self.verdict.remedy or None,
                "api_version": found.node.api_version if found.node else None,
                "capabilities": (dict(found.node.capabilities) or None) if found.node else None,
                "ns_per_instruction": {
                    "kvm": found.kvm.ns if found.kvm else None,
                    "tcg": found.tcg.ns if found.tcg else None,
                },
            },
            "accelerator": {"chosen": self.choice.chosen, "why": self.choice.why},
            "vmm": {
                "path": found.vmm.path,
                "version": found.vmm.version,
                "accelerators": list(found.vmm.accelerators),
            }
            if found.vmm
            else None,
            "memory": found.memory,
            "cpus": found.cpus,
            **self.facts.as_json(),
        }
