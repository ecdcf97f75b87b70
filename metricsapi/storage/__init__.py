"""What is current: the last readings of each node and pod, and the rates between them."""
