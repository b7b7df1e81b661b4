"""What `doctor` makes of what was looked at: small pure functions from facts to findings."""
