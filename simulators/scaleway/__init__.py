"""Scaleway's Managed Database for PostgreSQL and MySQL at the wire."""
