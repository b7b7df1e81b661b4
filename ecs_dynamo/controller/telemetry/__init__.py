"""What the daemon reports: events, metrics, status, logs and recordings."""
