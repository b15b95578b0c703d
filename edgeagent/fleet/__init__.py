"""A fleet over MQTT: what boards are asked to run, what they report, and how they get it."""
