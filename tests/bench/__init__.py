"""`make bench`: what the server costs, measured from outside, and what a peer costs in the same run."""
