"""Tasks: their placement, their processes, names, ports, and volumes."""
