"""What the managed databases of all clouds have in common; each cloud brings its own driver."""
