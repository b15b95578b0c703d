"""Runs sensor-aggregation unikernels on small boards and forwards sealed summaries."""

__version__ = "0.1.0"
