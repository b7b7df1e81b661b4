"""What holds for every test."""

from hypothesis import settings

# How long an example takes depends on what else the machine does: it says nothing of the code.
settings.register_profile("ecs-dynamo", deadline=None)
settings.load_profile("ecs-dynamo")
