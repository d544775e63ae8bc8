"""A protected environment on this machine: Temporal, a worker, a real PostgreSQL, a small shop."""
