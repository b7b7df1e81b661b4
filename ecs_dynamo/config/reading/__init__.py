"""Reading of YAML and JSON with positions, expansion of variables, and collection of problems."""
