"""AWS resources outside the snapshot: leases, queues, metrics, secrets and tags."""
