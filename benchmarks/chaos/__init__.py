"""A seeded campaign of faults in the local ECS under steady load (`make chaos`)."""
