"""Core: whether a device tree's interrupt controller can serve guests (arm64's second gate).

Sources: drivers/irqchip/irq-gic.c (gic_of_setup_kvm_info: ranges 2 and 3, and the maintenance interrupt),
irq-gic-v3.c, irq-apple-aic.c; arch/arm64/kvm/vgic/vgic-init.c (without it KVM starts, and makes no irqchip).
"""

from __future__ import annotations

import re

from .documents import Documents, Line
from .system import DEVICE_TREE, INTERRUPTS, System

GIC_V2 = frozenset({
    "arm,gic-400", "arm,cortex-a15-gic", "arm,cortex-a9-gic", "arm,cortex-a7-gic", "arm,arm1176jzf-devchip-gic",
    "arm,arm11mp-gic", "arm,tc11mp-gic", "arm,eb11mp-gic", "qcom,msm-8660-qgic", "qcom,msm-qgic2",
})  # fmt: skip
GIC_V3 = frozenset({"arm,gic-v3", "arm,gic-v5", "qcom,msm8996-gic-v3"})
OTHER_WITH_VGIC = frozenset({"apple,aic", "apple,aic2"})
WITHOUT_VGIC = frozenset({"brcm,bcm2836-l1-intc", "brcm,bcm2835-armctrl-ic", "brcm,bcm2836-armctrl-ic"})
RANGES_V2 = 4
"""Distributor, CPU interface, and for guests: the hypervisor's and the virtual CPU's interface."""

_VGIC = re.compile(r"\bvgic\b")
_NO_VGIC = (
    r"No vgic maintenance irq|no compatible GIC (?:node|info) found|GICV size .* not a multiple of page size"
)


def missing_vgic(system: System) -> tuple[Line | str, ...]:
    """What shows that guests get no interrupt controller; empty: nothing shows it."""
    if system.documents.find(INTERRUPTS, _VGIC):
        return ()
    if line := system.log(_NO_VGIC):
        return (line,)
    complaints: list[str] = []
    for path in system.documents.below(DEVICE_TREE):
        node, _, name = path.rpartition("/")
        if name != "compatible":
            continue
        complaint = _complaint(system.documents, node)
        if complaint == "":
            return ()
        if complaint:
            complaints.append(complaint)
    return tuple(complaints)


def _complaint(documents: Documents, node: str) -> str | None:
    """What a controller lacks; "" for one that can serve guests or may; None for a node that is none."""
    kinds = set(documents.strings(f"{node}/compatible"))
    shown = f"{node}/compatible: {', '.join(sorted(kinds))}"
    if kinds & WITHOUT_VGIC:
        return f"{shown} (no GIC)"
    if kinds & OTHER_WITH_VGIC:
        return ""
    if not kinds & (GIC_V2 | GIC_V3):
        return None
    properties = {
        path.rpartition("/")[2] for path in documents.below(node) if path.count("/") == node.count("/") + 1
    }
    if "reg" not in properties:
        # A capture of names only: nothing more to see.
        return ""
    if not {"interrupts", "interrupts-extended"} & properties:
        return f"{shown}: no maintenance interrupt"
    if kinds & GIC_V3:
        return ""
    ranges = _ranges(documents, node)
    return (
        f"{shown}: {ranges} register ranges, not {RANGES_V2}"
        if ranges is not None and ranges < RANGES_V2
        else ""
    )


def _ranges(documents: Documents, node: str) -> int | None:
    """How many (address, size) pairs its reg has; cells are 32 bits, how many each has is said by the parent."""
    parent = node.rpartition("/")[0]
    cells = _cell(documents, f"{parent}/#address-cells", 2) + _cell(documents, f"{parent}/#size-cells", 1)
    return len(documents.files[f"{node}/reg"]) // (4 * cells) if cells else None


def _cell(documents: Documents, path: str, default: int) -> int:
    raw = documents.files.get(path, b"")
    return int.from_bytes(raw, "big") if len(raw) == 4 and raw[:3] == b"\0\0\0" else default
