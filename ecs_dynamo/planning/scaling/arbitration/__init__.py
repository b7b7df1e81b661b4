"""Division of a limit (GPU slots) among components that together ask for more than it allows."""
