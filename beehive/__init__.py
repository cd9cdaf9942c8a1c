"""The ground floor that both halves stand on: messages, supervised modules, keyed queues, one-writer SQLite.

Nothing here knows of Kubernetes, sockets or containers.
"""
