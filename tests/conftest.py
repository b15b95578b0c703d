"""What all rooms' tests share. Each fixture lives in the file that has its idea."""

from __future__ import annotations

pytest_plugins = ["tests.skips", "tests.certificates", "tests.brokers", "tests.guests", "tests.vm.build"]
