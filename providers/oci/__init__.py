"""Container registries: any that speaks the OCI distribution API, and four that tell more."""
