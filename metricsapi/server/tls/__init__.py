"""TLS of the server: the certificate that it presents, and the CA that signs it."""
