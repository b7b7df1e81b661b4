"""EventBridge events of the local ECS."""
