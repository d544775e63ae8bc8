"""Measures what a backup and a restore cost, against a plain copy of the same bytes."""
