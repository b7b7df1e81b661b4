"""Request traces: read from files, or generated from a shape and a seed."""
