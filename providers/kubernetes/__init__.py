"""Applications and configurations in Kubernetes clusters, by the official client."""
