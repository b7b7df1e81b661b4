"""Observation of ECS, EC2 and Auto Scaling: answers become a snapshot."""
