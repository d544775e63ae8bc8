"""Where run reports are kept."""
