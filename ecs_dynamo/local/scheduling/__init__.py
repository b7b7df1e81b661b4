"""The service scheduler: rolling updates and the bookkeeping of deployments."""
