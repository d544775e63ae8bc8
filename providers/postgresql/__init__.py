"""What can be asked of any PostgreSQL that answers SQL: checks and proofs."""
