"""The command ``edgecore``: what of it runs is imported only then, for a broker alone needs a fraction of the rest."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """``edgecore broker ...`` is the MQTT broker alone, anything else the edge half. Returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["broker"]:
        from edgecore import brokercommand

        return brokercommand.main(words[1:])
    from edgecore import command

    return command.main(words)


if __name__ == "__main__":
    sys.exit(main())
