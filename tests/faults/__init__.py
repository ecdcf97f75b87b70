"""What healthy nodes are served while others fail in one way each."""
