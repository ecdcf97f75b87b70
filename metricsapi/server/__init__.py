"""The running process: HTTPS, identity, authorization, and what an operator sees."""
