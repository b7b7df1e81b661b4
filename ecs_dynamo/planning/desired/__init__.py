"""The desired state of each component: its rendered revision, count, placement and settings."""
