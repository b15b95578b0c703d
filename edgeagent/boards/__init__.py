"""Which board this is, and what is known of it: profiles, recognition, facts of the machine."""
