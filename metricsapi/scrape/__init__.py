"""Node to store: targets, the kubelet client, the decoders, the scraper pool."""
