"""A simulated AWS account: RDS with real servers, and what of KMS and STS belongs to it."""
