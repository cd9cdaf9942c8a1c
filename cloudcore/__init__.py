"""The cloud half: between a Kubernetes API and thousands of edges."""
