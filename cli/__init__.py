"""The refloat command: parse, call the client, print; no logic."""
