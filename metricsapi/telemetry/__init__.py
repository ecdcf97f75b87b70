"""What the process reports about itself: log lines, self-metrics, and what a failure means."""
