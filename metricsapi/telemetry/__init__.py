"""What the process tells of itself: log lines, self-metrics, and what a failure means."""
