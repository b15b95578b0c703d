"""memcpy, memmove, memset, memcmp: every alignment and overlap."""

from __future__ import annotations

import ctypes
import functools

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.guest import native

SIZE = 96
NAMES = ("memcpy", "memmove", "memset", "memcmp", "strlen")


@functools.cache
def library() -> ctypes.CDLL:
    flags = ("-O2", "-shared", "-fPIC", "-fno-builtin", *(f"-D{name}=edge_{name}" for name in NAMES))
    loaded = ctypes.CDLL(str(native.compiled((native.IMAGES / "lib/mem.c",), flags)))
    for name in NAMES:
        getattr(loaded, f"edge_{name}").restype = ctypes.c_void_p
    loaded.edge_memcmp.restype = ctypes.c_int
    return loaded


places = st.integers(0, SIZE // 2)
contents = st.binary(min_size=SIZE, max_size=SIZE)


def address(buffer: ctypes.Array[ctypes.c_char], at: int) -> ctypes.c_void_p:
    return ctypes.c_void_p(ctypes.addressof(buffer) + at)


@settings(max_examples=300, deadline=None)
@given(contents, places, places, places)
def test_memmove(content: bytes, to: int, start: int, size: int) -> None:
    buffer = ctypes.create_string_buffer(content, SIZE)
    library().edge_memmove(address(buffer, to), address(buffer, start), ctypes.c_size_t(size))
    expected = bytearray(content)
    expected[to : to + size] = content[start : start + size]
    assert buffer.raw == bytes(expected)


@settings(max_examples=300, deadline=None)
@given(contents, places, places, places)
def test_memcpy(content: bytes, to: int, start: int, size: int) -> None:
    source = ctypes.create_string_buffer(content, SIZE)
    target = ctypes.create_string_buffer(SIZE)
    library().edge_memcpy(address(target, to), address(source, start), ctypes.c_size_t(size))
    assert target.raw == bytes(to) + content[start : start + size] + bytes(SIZE - to - size)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 255), places, places)
def test_memset(byte: int, to: int, size: int) -> None:
    target = ctypes.create_string_buffer(SIZE)
    library().edge_memset(address(target, to), ctypes.c_int(byte), ctypes.c_size_t(size))
    assert target.raw == bytes(to) + bytes([byte]) * size + bytes(SIZE - to - size)


@settings(max_examples=300, deadline=None)
@given(contents, places, places, st.one_of(st.none(), st.tuples(places, st.integers(0, 255))))
def test_memcmp(content: bytes, to: int, size: int, change: tuple[int, int] | None) -> None:
    other = bytearray(bytes(to) + content)[:SIZE]
    if change is not None:
        other[change[0]] = change[1]
    a = ctypes.create_string_buffer(content, SIZE)
    b = ctypes.create_string_buffer(bytes(other), SIZE)
    result = library().edge_memcmp(a, address(b, to), ctypes.c_size_t(size))
    x, y = content[:size], bytes(other[to : to + size])
    assert (result > 0) - (result < 0) == (x > y) - (x < y)
