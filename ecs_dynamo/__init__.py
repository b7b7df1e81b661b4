"""ecs-dynamo: the ECS-native orchestration daemon for NVIDIA Dynamo LLM inference."""

__version__ = "0.1.0"
