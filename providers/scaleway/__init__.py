"""Databases of Scaleway's Managed Database for PostgreSQL and MySQL."""
