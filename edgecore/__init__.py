"""The edge half: pods and devices of one node, with or without the cloud."""
