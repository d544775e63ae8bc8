"""Databases at Azure Database for PostgreSQL and MySQL, flexible server."""
