"""What keeps a simulated cluster moving: its controllers, its scheduler and its nodes."""
