"""The scaling policies, one file each."""
