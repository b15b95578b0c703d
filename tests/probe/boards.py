"""Boards for tests: documents as text, and what /dev/kvm said on them."""

from __future__ import annotations

from typing import Any

from edgeagent.probe.documents import Documents
from edgeagent.probe.evidence import Evidence, KvmNode
from edgeagent.probe.system import read

ABSENT = KvmNode("edgeagent", "ENOENT")

X86 = "processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: {family}\nflags\t\t: fpu lm sse2 {flags}\nbogomips\t: 1\n"


def x86(flags: str = "", vendor: str = "GenuineIntel", family: int = 6) -> str:
    return X86.format(flags=flags, vendor=vendor, family=family)


def documents(files: dict[str, str | bytes], **refused: str) -> Documents:
    """Files by path; refused: errno names by path, with __ for a slash and _dot_ for a dot."""
    raw = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
    names = {path.replace("__", "/").replace("_dot_", "."): why for path, why in refused.items()}
    return Documents(raw, names)


def board(files: dict[str, str | bytes], node: KvmNode | None = ABSENT, **more: Any) -> Evidence:
    return Evidence(read(documents(files)), node, **more)
