"""Core: the frames between agent and guest (firmware-images/protocol/edge.cddl), bytes in and values out."""
