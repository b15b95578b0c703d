"""Core: dev-kvm.json and measured.json of a capture: what open and the ioctls said, and what was timed."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from typing import Any

from edgeagent.vmm.port import VmmInfo

from .documents import Documents
from .evidence import Evidence, KvmNode, Speed
from .system import MEMORY, System

NODE, MEASURED = "dev-kvm.json", "measured.json"
_OPEN_OK = "ok"
_MAX_WORDS = 80


def load(documents: Documents, system: System) -> Evidence:
    """The evidence of a capture. What can't be used is treated as not there, and said so."""
    node, failure = _node(documents)
    measured = _object(documents, MEASURED) or {}
    vmm = measured.get("vmm")
    speeds = measured.get("ns_per_instruction")
    failures = measured.get("failures")
    return Evidence(
        system,
        node,
        vmm=_vmm(vmm) if isinstance(vmm, dict) else None,
        vmm_failure=_word(measured.get("vmm_failure")),
        kvm=_speed(speeds, failures, "kvm"),
        tcg=_speed(speeds, failures, "tcg"),
        memory=memory_of(documents),
        cpus=_number(measured.get("cpus")) or system.cpuinfo.processors or None,
        node_failure=failure,
    )


def dump_node(node: KvmNode) -> bytes:
    """As load reads it. The user stays unnamed, and so does a group that isn't a system's."""
    said: dict[str, Any] = {"exists": node.mode is not None, "open": node.open}
    if node.mode is not None:
        said |= {"mode": stat.filemode(stat.S_IFCHR | node.mode), "uid": node.uid, "gid": node.gid}
        if node.group in ("root", "kvm"):
            said["group"] = node.group
    if node.open == _OPEN_OK:
        said |= {
            "api_version": node.api_version,
            "create_vm": node.create_vm,
            "create_vcpu": node.create_vcpu,
        }
        said["capabilities"] = dict(node.capabilities)
    return _text(said)


def dump_measured(evidence: Evidence) -> bytes:
    """As load reads it."""
    speeds = {"kvm": evidence.kvm, "tcg": evidence.tcg}
    vmm = evidence.vmm
    return _text(
        {
            "vmm": {"path": vmm.path, "version": vmm.version, "accelerators": list(vmm.accelerators)}
            if vmm
            else None,
            "vmm_failure": evidence.vmm_failure,
            "ns_per_instruction": {name: one.ns for name, one in speeds.items() if one},
            "failures": {name: one.failure for name, one in speeds.items() if one and one.failure},
            "cpus": evidence.cpus,
        }
    )


def memory_of(documents: Documents) -> int | None:
    """Bytes of RAM that the kernel manages, out of meminfo."""
    for line in documents.lines(MEMORY):
        words = line.text.split()
        if words[0] == "MemTotal:" and len(words) >= 2 and words[1].isdigit():
            return int(words[1][:15]) << 10
    return None


def _node(documents: Documents) -> tuple[KvmNode | None, str]:
    if NODE not in documents:
        return None, documents.absence(NODE)
    said = _object(documents, NODE)
    if said is None:
        return None, f"{NODE}: isn't a JSON object"
    opened = said.get("open")
    if said.get("exists") is False and not isinstance(opened, str):
        opened = "ENOENT"
    if not isinstance(opened, str):
        return None, f"{NODE}: doesn't say what open did"
    capabilities = said.get("capabilities")
    return (
        KvmNode(
            user=_word(said.get("user")),
            open=_OPEN_OK if opened.lower() == _OPEN_OK else _word(opened),
            mode=_mode(said.get("mode")),
            uid=_number(said.get("uid")),
            gid=_number(said.get("gid")),
            group=_word(said.get("group")) or ("root" if said.get("gid") == 0 else ""),
            api_version=_number(said.get("api_version")),
            create_vm=_word(said.get("create_vm")),
            create_vcpu=_word(said.get("create_vcpu")),
            capabilities=_numbers(capabilities) if isinstance(capabilities, dict) else {},
        ),
        "",
    )


def _object(documents: Documents, path: str) -> dict[str, Any] | None:
    try:
        found = json.loads(documents.files.get(path, b"").decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _mode(value: Any) -> int | None:
    """Permission bits, from a number or from the form of ls: crw-rw----."""
    if (number := _number(value)) is not None:
        return stat.S_IMODE(number)
    if not isinstance(value, str) or len(value) < 10:
        return None
    return sum(1 << (8 - place) for place, letter in enumerate(value[1:10]) if letter not in "-ST")


def _vmm(value: Mapping[str, Any]) -> VmmInfo:
    accelerators = value.get("accelerators")
    names = tuple(_word(one) for one in accelerators) if isinstance(accelerators, list) else ()
    return VmmInfo(_word(value.get("path")), _word(value.get("version")), names)


def _speed(speeds: Any, failures: Any, name: str) -> Speed | None:
    ns = speeds.get(name) if isinstance(speeds, dict) else None
    failure = _word(failures.get(name)) if isinstance(failures, dict) else ""
    if isinstance(ns, int | float) and not isinstance(ns, bool) and 0 < ns < 1e12:
        return Speed(float(ns))
    return Speed(None, failure) if failure else None


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 32 else None


def _numbers(values: Mapping[str, Any]) -> dict[str, int]:
    return {_word(name): number for name, value in values.items() if (number := _number(value)) is not None}


def _word(value: Any) -> str:
    """A short text without control characters: it is shown on terminals."""
    return "".join(c for c in value if c.isprintable())[:_MAX_WORDS] if isinstance(value, str) else ""


def _text(value: Any) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()
