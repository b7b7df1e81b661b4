"""The state of the local ECS: what it holds in memory, and how the API describes it."""
