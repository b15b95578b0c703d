"""The import graph: cores do no I/O, rooms don't import each other's shells, heavy libraries stay where they belong."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "edgeagent"

IO_MODULES = {
    "asyncio", "ctypes", "fcntl", "logging", "multiprocessing", "os", "random", "secrets", "select", "shutil",
    "signal", "socket", "ssl", "subprocess", "sys", "tempfile", "threading", "time",
    "aiocoap", "paho", "psutil", "sqlalchemy", "click", "rich",
}  # fmt: skip
"""What a core must not import: the machine, time, randomness, servers, screens."""

CORES = [
    "wire/*.py", "contract/*.py", "quantities.py", "errors.py", "config/readers.py", "config/schema.py",
    "config/tables.py", "ingest/mqtt_core.py", "ingest/mqtt_packets.py", "ingest/mqtt_answers.py",
    "ingest/mqtt_events.py", "ingest/mqtt_properties.py", "ingest/topics.py", "ingest/rate.py", "ingest/delivery.py",
    "ingest/backoff.py", "seal/__init__.py", "seal/strict.py", "seal/cose.py", "seal/columns.py", "seal/batch.py",
    "seal/ack.py", "seal/keys.py", "unit/arrival.py", "unit/checkpointing.py", "unit/duplicates.py", "unit/gate.py",
    "unit/outbox.py", "unit/router.py", "unit/scaling.py", "unit/settings.py", "unit/sharding.py", "unit/ticks.py",
    "vmm/machines.py", "vmm/argv.py", "vmm/jail.py", "vmm/qmp.py", "vmm/crash.py", "vmm/bounds.py", "vmm/subtree.py",
    "vmm/foreign.py", "guest/session.py", "guest/limits.py", "guest/throttle.py", "guest/admission.py",
    "guest/window.py", "guest/ring.py", "guest/budget.py", "crash/record.py", "crash/retention.py", "crash/inputs.py",
    "crash/case.py", "crash/player.py", "probe/evidence.py", "probe/verdict.py", "probe/speed.py", "probe/report.py",
    "probe/answer.py", "probe/choice.py", "probe/cpuinfo.py", "probe/redact.py", "probe/documents.py",
    "probe/interrupts.py", "probe/isa.py", "probe/kernel.py", "probe/said.py", "probe/system.py", "probe/rules/*.py",
    "boards/profile.py", "boards/match.py", "boards/facts.py", "boards/seen.py", "image/inspection.py",
    "image/elf.py", "image/targets.py", "image/boot.py", "image/solo5.py", "vm/screen.py", "vm/outcome.py",
    "fleet/__init__.py", "fleet/topics.py", "fleet/payloads.py", "fleet/commands.py", "fleet/desired.py",
    "fleet/clock_floor.py",
    "update/suit.py", "update/commands.py", "update/authors.py", "update/bundle.py", "update/contract.py",
    "update/roles.py", "update/tuf_keys.py", "update/tuf_library.py", "uplink/__init__.py", "uplink/delivery.py",
    "uplink/topics.py", "control/protocol.py", "control/access.py", "journal/durability.py", "journal/formats.py",
    "journal/frames.py", "journal/batches.py", "sim/home.py", "sim/truth.py", "sim/message.py", "sim/dice.py",
    "sim/walk.py", "sim/kinds.py", "sim/faults.py", "sim/compare.py", "sim/truth_file.py", "sim/address.py",
    "collector/receive.py", "collector/rows.py", "collector/export.py", "collector/keyring.py",
]  # fmt: skip
"""Files whose room says that they have no I/O. A pattern that matches nothing is a mistake."""

ONLY_IN = {
    "sqlalchemy": {"collector"},
    "paho": {"uplink", "collector", "sim"},
    "aiocoap": {"ingest", "sim"},
    "click": {"cli"},
    "rich": {"cli"},
    "prometheus_client": set(),
    "tuf": {"update"},
    "securesystemslib": {"update"},
}
"""Libraries that only some rooms may import, so that a running agent stays small."""


MODULES = {
    ".".join(("edgeagent", *one.relative_to(ROOT).with_suffix("").parts)) for one in ROOT.rglob("*.py")
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = ["edgeagent", *path.relative_to(ROOT).parts[:-1]]
            base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            name = ".".join(part for part in (base, node.module or "") if part)
            modules = {f"{name}.{alias.name}" for alias in node.names} & MODULES
            found |= modules or {name}
    return found


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("pattern", CORES)
def test_cores_have_no_io(pattern):
    paths = sorted(ROOT.glob(pattern))
    assert paths
    for path in paths:
        assert not {name.split(".")[0] for name in imports(path)} & IO_MODULES, path


@pytest.mark.parametrize("library", ONLY_IN)
def test_libraries_stay_in_their_rooms(library):
    # By name only (importlib) where a library is optional, so some have no user here.
    users = {path for path in FILES if library in {name.split(".")[0] for name in imports(path)}}
    assert {path.relative_to(ROOT).parts[0] for path in users} <= ONLY_IN[library]


def test_nothing_imports_the_command_line_or_the_simulator():
    for path in FILES:
        room = path.relative_to(ROOT).parts[0]
        if room not in {"cli", "sim", "__main__.py"}:
            assert not [n for n in imports(path) if n.startswith(("edgeagent.cli", "edgeagent.sim"))], path


def core_modules():
    for pattern in CORES:
        for path in ROOT.glob(pattern):
            yield ".".join(("edgeagent", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(
                ".__init__"
            )


PORTS = {
    "edgeagent.ingest.intake",
    "edgeagent.unit.ports",
    "edgeagent.vmm.port",
    "edgeagent.guest.events",
    "edgeagent.guest.owner",
    "edgeagent.host.files",
    "edgeagent.host.clock",
}
"""What a room offers to others: protocols and frozen values."""

SHARED = {"edgeagent.uplink.link", "edgeagent.seal.keystore"}
"""The one MQTT connection that boards and collectors have, and the keys in a folder that both have."""

SHELLS = {"agent", "cli", "sim", "config"}
"""Who may connect rooms."""


def test_cores_import_only_cores():
    allowed = set(core_modules()) | PORTS
    for pattern in CORES:
        for path in ROOT.glob(pattern):
            ours = {name for name in imports(path) if name.startswith("edgeagent.")}
            assert ours <= allowed, (path, ours - allowed)


def test_rooms_dont_import_each_others_shells():
    cores = set(core_modules())
    open_to_all = (
        "edgeagent.wire",
        "edgeagent.errors",
        "edgeagent.quantities",
        "edgeagent.host",
        "edgeagent.config",
    )
    for path in FILES:
        room = path.relative_to(ROOT).parts[0]
        if room in SHELLS or room.endswith(".py"):
            continue
        for name in imports(path):
            if not name.startswith("edgeagent.") or name.startswith((f"edgeagent.{room}", *open_to_all)):
                continue
            assert name in cores | PORTS | SHARED, (path, name)
