"""Construction of a validated graph: components, etcd members, volumes and service settings."""
