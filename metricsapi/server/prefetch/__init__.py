"""Prefetch: nodes are scraped shortly before a query that is expected."""
