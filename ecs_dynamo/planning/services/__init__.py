"""Rules that create, update and delete services and etcd members."""
