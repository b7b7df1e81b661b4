"""One pass: observe, plan, act."""
