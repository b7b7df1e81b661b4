"""Facts that follow from one snapshot: readiness, work, endpoints, membership, reachability."""
