"""Task definitions that ECS accepts and rejects, for those who must agree on it."""
