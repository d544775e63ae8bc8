"""Databases at Google Cloud SQL."""
