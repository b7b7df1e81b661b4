"""Facts about Dynamo: containers, environment variables, registrations, credentials, etcd."""
