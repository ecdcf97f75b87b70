"""Replicas share their scrapes: one leads and scrapes the nodes, the others follow its stream."""
