"""A home of simulated sensors, the truth about what they said, and how it is sent: our own measuring stick."""
