"""Core: files of a board as they were read, and the lines in them that a verdict may rest on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

MAX_LINE = 16_384
SHOWN = 120
"""Characters of a line that are shown as evidence."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file. number: from 1. complete: a line end follows; else what it lacks may have been cut off."""

    file: str
    number: int
    text: str
    complete: bool = True

    def __str__(self) -> str:
        words = "".join(letter for letter in " ".join(self.text.split()) if letter.isprintable())
        return f"{self.file}:{self.number}: {words if len(words) <= SHOWN else words[: SHOWN - 1] + '…'}"

    def around(self, word: str) -> str:
        """As str(), but of a long list only its head and one word of it; without the word, that it isn't there."""
        head, colon, _ = " ".join(self.text.split()).partition(":")
        if not colon:
            return str(self)
        found = f"… {word} …" if word in self.text.split() else f"without {word}"
        return f"{self.file}:{self.number}: {head.strip()}: {found}"


@dataclass(frozen=True, slots=True)
class Documents:
    """Files by their path below the root, and the errno's name for those that were there but couldn't be read."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    def __contains__(self, path: str) -> bool:
        return path in self.files

    def lines(self, path: str) -> Iterator[Line]:
        """Of a text; nothing when it isn't there. Any bytes are text here: what isn't UTF-8 becomes U+FFFD."""
        raw = self.files.get(path, b"").removeprefix(b"\xef\xbb\xbf")
        pieces = re.split(r"\r\n|\n|\r", raw.decode("utf-8", "replace").replace("\0", ""))
        for number, text in enumerate(pieces, 1):
            if text.strip():
                whole = number < len(pieces) and len(text) <= MAX_LINE
                yield Line(path, number, text[:MAX_LINE], complete=whole)

    def find(self, path: str, pattern: re.Pattern[str]) -> Line | None:
        """The first line in which the pattern is found."""
        return next((line for line in self.lines(path) if pattern.search(line.text)), None)

    def strings(self, path: str) -> tuple[str, ...]:
        """A device-tree property: strings that end with NUL."""
        text = self.files.get(path, b"").decode("utf-8", "replace")
        return tuple(one for piece in text.split("\0") if (one := piece.strip()))

    def text(self, path: str) -> str:
        """The first line that isn't empty; "" when there is none."""
        return next((line.text.strip() for line in self.lines(path)), "")

    def below(self, folder: str) -> tuple[str, ...]:
        """Paths in a folder and its folders, sorted."""
        return tuple(sorted(path for path in self.files if path.startswith(f"{folder}/")))

    def absence(self, path: str) -> str:
        """Why there is nothing to say about a file, as a line of evidence."""
        if path in self.refused:
            return f"{path}: can't be read ({self.refused[path]})"
        return f"{path}: {'is empty' if path in self.files else 'not there'}"
