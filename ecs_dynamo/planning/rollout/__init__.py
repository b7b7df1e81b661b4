"""How one revision replaces another: order, limits, protection, hand-over, deadlines."""
