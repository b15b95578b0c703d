"""Attends to one machine with an image of anybody's: its console, its end, what that means."""
