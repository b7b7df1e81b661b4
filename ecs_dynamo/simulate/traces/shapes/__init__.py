"""Shapes of traffic. A shape with its parameters and a seed determines a trace."""
