"""Values that planning carries from one pass to the next. Losing them is always safe."""
