"""Restores databases of Amazon RDS through its own automated backups and snapshots."""
