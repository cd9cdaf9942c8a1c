"""What is known of Kubernetes objects, and a client for its API. Knows nothing of edges."""
