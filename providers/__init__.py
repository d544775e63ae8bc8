"""The outside systems, one folder each; only the worker and the sandbox import them."""
