"""Reports of the daemon: events, metrics, status, logs and the recording of demand."""
