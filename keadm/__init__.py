"""The door: the commands an operator types."""
