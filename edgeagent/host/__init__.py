"""The only doors to the machine: files, clock, random numbers, programs."""
