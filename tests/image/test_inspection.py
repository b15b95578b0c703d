"""What an image says of itself, and what becomes of bytes that are no image."""

from __future__ import annotations

import hashlib
import json
import struct

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeagent.cli.image import image as image_command
from edgeagent.errors import ImageError
from edgeagent.image import inspection
from edgeagent.image.inspection import Declaration, inspect
from edgeagent.image.targets import TARGETS


@pytest.fixture(scope="session")
def echo(guest_image) -> bytes:
    return guest_image("echo").path.read_bytes()


@pytest.mark.parametrize("arch", TARGETS)
def test_says_what_an_image_is(guest_image, arch):
    data = guest_image("echo", arch).path.read_bytes()
    info = inspect(data)
    assert (info.arch, info.size, info.digest) == (arch, len(data), hashlib.sha256(data).hexdigest())
    assert info.declaration == Declaration(1, "echo", 1, 1, ("agent",))
    assert info.stripped
    assert info.build_id_verified
    assert info.size < 64 << 10
    assert info.log_ring[1] > 4096
    assert info.loaded > 0
    names = [name for name, _ in info.sections]
    assert ".text" in names
    assert ".symtab" not in names


def test_an_image_with_symbols_is_not_stripped(guest_image):
    path = guest_image("echo").path.with_suffix(".symbols.elf")
    assert not inspect(path.read_bytes()).stripped


def test_a_changed_byte_shows(echo):
    changed = bytearray(echo)
    changed[len(echo) // 2] ^= 1
    assert not inspect(bytes(changed)).build_id_verified


def patched(data: bytes, offset: int, shape: str, value: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into(shape, changed, offset, value)
    return bytes(changed)


def elf_header(*, bits: int, order: str) -> bytes:
    """An executable of no contents."""
    ident = b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1]) + bytes(9)
    word = "I" if bits == 32 else "Q"
    sizes = (52, 32, 0, 40, 0, 0) if bits == 32 else (64, 56, 0, 64, 0, 0)
    return ident + struct.pack(f"{order}HHI{word * 3}I6H", 2, 62, 1, 0, 0, 0, 0, *sizes)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda _: b"", "not an ELF file"),
        (lambda _: b"#!/bin/sh\n", "not an ELF file"),
        (lambda data: data[:30], "truncated"),
        (lambda data: data[:1000], "truncated"),
        (lambda data: data[:-1], "truncated"),
        (lambda data: patched(data, 4, "B", 3), "unknown class 3"),
        (lambda data: patched(data, 5, "B", 2), "not an executable"),
        (lambda _: elf_header(bits=32, order="<"), "not a 64-bit"),
        (lambda _: elf_header(bits=64, order=">"), "not a 64-bit"),
        (lambda data: patched(data, 16, "<H", 3), "not an executable"),
        (lambda data: patched(data, 18, "<H", 22), "for a machine that isn't supported (ELF number 22)"),
        (lambda data: patched(data, 56, "<H", 0), "no note with its build id"),
        (lambda data: patched(data, 56, "<H", 9999), "9999 program headers"),
        (lambda data: data.replace(b"EDGE\0", b"EDGY\0"), "no note with its build id"),
        (lambda data: data.replace(b"\xa5cabi", b"\xa6cabi"), "declaration"),
        (lambda data: data.replace(b"eagent", b"\xff" * 6), "declaration"),
        (lambda data: data + bytes(inspection.MAX_IMAGE), "above the limit"),
    ],
)
def test_one_line_for_what_is_no_image(echo, damage, words):
    with pytest.raises(ImageError) as caught:
        inspect(damage(echo))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.integers(0, 40_000),
)
def test_nothing_but_image_error_comes_out(echo, edits, cut):
    changed = bytearray(echo)
    for offset, value in edits:
        changed[offset] = value
    try:
        info = inspect(bytes(changed[:cut]))
    except ImageError:
        return
    assert info.size == min(cut, len(echo))


def test_inspect_command(guest_image, tmp_path):
    image = guest_image("echo")
    shown = CliRunner().invoke(image_command, ["inspect", str(image.path)])
    assert shown.exit_code == 0
    assert "attack surface" in shown.output
    facts = json.loads(CliRunner().invoke(image_command, ["inspect", str(image.path), "--json"]).output)
    assert facts["size"] == image.info.size
    assert facts["declaration"]["app"] == "echo"

    short = tmp_path / "short.elf"
    short.write_bytes(image.path.read_bytes()[:5000])
    refused = CliRunner().invoke(image_command, ["inspect", str(short)])
    assert isinstance(refused.exception, ImageError)
    assert str(refused.exception).startswith(f"{short}: truncated")
