"""Faults at random, at every boundary of the server at once, and what must hold meanwhile."""
