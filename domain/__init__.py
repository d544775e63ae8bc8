"""The vocabulary of recovery: frozen types and pure functions, nothing that touches a system."""
