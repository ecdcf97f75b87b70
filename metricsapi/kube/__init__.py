"""What we know of clusters: credentials, client, errors, watch, informer, selectors."""
