"""`make bench`: what the server costs, measured from outside, beside a peer in the same run."""
