"""The control socket: how `status` and `logs` ask a running agent. Unix, for the agent's own user only."""
