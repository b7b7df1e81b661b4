"""What each component should be: its rendered revision, count, placement and settings."""
