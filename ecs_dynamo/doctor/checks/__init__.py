"""The checks of `doctor`: small pure functions from facts to findings."""
