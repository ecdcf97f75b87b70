"""Store to client: the FastAPI app, its handlers, TLS and identity."""
