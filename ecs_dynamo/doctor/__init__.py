"""Diagnosis of everything that commonly prevents a graph from running."""
