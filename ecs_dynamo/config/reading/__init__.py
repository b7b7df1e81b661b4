"""Reading YAML and JSON with positions, variables and a report of problems."""
