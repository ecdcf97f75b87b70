"""The HTTP server: connections, their limits and their requests."""
