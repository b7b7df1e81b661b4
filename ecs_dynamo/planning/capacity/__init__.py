"""Whether replicas fit on instances, and how many instances to request."""
