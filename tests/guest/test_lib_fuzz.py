"""A few seconds of fuzzing; `make fuzz` runs minutes of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.guest import native

FUZZ = native.IMAGES / "fuzz"
FLAGS = ("-O1", "-g", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all")
SECONDS = 4


@pytest.mark.parametrize("target", ["session", "payload"])
def test_fuzz(target: str, tmp_path: Path) -> None:
    sources = (
        *native.library_sources(),
        *native.aggregate_sources(),
        FUZZ / "platform.c",
        FUZZ / f"{target}.c",
    )
    program = native.compiled(sources, FLAGS)
    seeds = FUZZ / "seeds" / target
    assert len(list(seeds.iterdir())) >= 2
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    done = subprocess.run(
        [program, f"-max_total_time={SECONDS}", "-timeout=10", "-seed=1", "-max_len=4096", corpus, seeds],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
