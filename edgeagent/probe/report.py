"""Core: what the probe answers, as one object for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .answer import Verdict
from .choice import Choice
from .evidence import Evidence


@dataclass(frozen=True, slots=True)
class Report:
    """A board, judged. cached: the speeds were measured earlier since this boot."""

    evidence: Evidence
    verdict: Verdict
    choice: Choice
    cached: bool

    def as_json(self) -> dict[str, Any]:
        """Keys and units as documented for `edgeagent probe --json`; null: not known."""
        found = self.evidence
        return {
            "arch": found.system.arch or None,
            "board": None,
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
            "cgroup": None,
            "rtc": None,
            "tpm": None,
            "clock_synchronised": None,
        }
