"""The ECS wire protocol, and faults injected into it."""
