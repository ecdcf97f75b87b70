"""Every recorded exchange with metrics-server, asked of this server, and the answers compared."""
