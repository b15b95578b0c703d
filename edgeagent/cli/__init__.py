"""The command line: one file per verb or group of verbs; each is imported when it is used."""
