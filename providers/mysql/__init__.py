"""What can be asked of any MySQL or MariaDB that answers SQL: checks and proofs."""
