"""What can be wrong with a patch."""


class PatchError(ValueError):
    """The patch cannot be used. The text is what the API server answers."""


class MalformedPatch(PatchError):
    """The patch is wrong in itself (code 400)."""


class PatchDoesNotApply(PatchError):
    """The patch does not fit this document (code 422)."""
