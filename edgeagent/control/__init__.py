"""The control socket: how commands ask a running agent for something. Unix; access.py says who may what."""
