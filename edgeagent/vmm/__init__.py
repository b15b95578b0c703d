"""Runs a guest's machine: the port, and QEMU behind it (core: argv, jail, QMP, crash; shell: the process)."""
