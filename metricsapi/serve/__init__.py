"""Store to client: the app, its handlers, TLS and identity."""
