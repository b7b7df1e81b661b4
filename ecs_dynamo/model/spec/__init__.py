"""The graph file as pydantic models: what a user may write, and what each field means."""
