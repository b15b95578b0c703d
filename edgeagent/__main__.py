"""`python -m edgeagent`: the command line, of this very interpreter."""

from __future__ import annotations

from edgeagent.cli.main import main

main()
