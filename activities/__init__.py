"""Single steps of recovery over the protocols; they know Temporal and the domain, no cloud."""
