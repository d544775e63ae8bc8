"""Self-managed PostgreSQL on this machine: archive, base backups, restores and a supervisor."""
