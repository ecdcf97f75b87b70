"""What an operator sees of the server: health, self-metrics and the status page."""
