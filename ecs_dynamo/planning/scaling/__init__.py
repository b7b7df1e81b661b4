"""Pure scaling policies: measured demand in, desired counts with reasons out."""
