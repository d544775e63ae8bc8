"""A stand-in of the Cloud SQL Admin API, with real servers behind its instances."""
