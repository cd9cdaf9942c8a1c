"""The road between the two halves: links, TLS, certificates, tokens."""
