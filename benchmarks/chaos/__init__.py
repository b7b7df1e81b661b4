"""A bounded, seeded campaign of faults on the local stack under steady load (`make chaos`)."""
