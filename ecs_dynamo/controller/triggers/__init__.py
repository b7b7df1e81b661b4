"""What wakes a graph's loop before its next regular pass."""
