"""Facts about ECS and AWS that need no call: task definitions, secrets, GPUs, partitions."""
