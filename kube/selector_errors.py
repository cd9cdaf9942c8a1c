"""What can be wrong with a selector."""


class SelectorError(ValueError):
    """A selector that cannot be read; the text is what the API server answers with code 400."""
