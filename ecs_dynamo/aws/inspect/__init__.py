"""Read-only calls for `doctor`: networks, images, secrets, roles, rights and quotas."""
