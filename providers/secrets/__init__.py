"""Where secrets are read, at the last moment and by reference."""
