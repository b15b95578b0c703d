"""Long work says what it does: on a terminal a line that goes away again; elsewhere nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console


@contextmanager
def working(words: str) -> Iterator[Callable[[str], None]]:
    """Show words on standard error while the block runs; call what it gives to show others."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status(words) as status:
        yield status.update
