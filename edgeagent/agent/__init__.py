"""Wires the rooms into a running agent; decides nothing."""
