"""The one way in which making an image fails."""


class Problem(Exception):
    """The text says what failed, why, and what to do next."""
