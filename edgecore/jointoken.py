"""The join token: where it comes from, and how it goes once it has done its work.

The bootstrap file wins over ``modules.edgeHub.token`` (KubeEdge 1.23: edge/cmd/edgecore/app). Both are read anew at each
attempt, so a new token needs no restart. After a certificate was issued the token is taken out of the file; everything else
in it, comments too, stays as it was.
"""

from __future__ import annotations

import logging
from pathlib import Path

import yaml

from beehive.files import write_atomically

log = logging.getLogger(__name__)

BOOTSTRAP_FILE = "bootstrap-edgecore.conf"


def bootstrap_beside(config: Path) -> Path:
    """``/etc/kubeedge/bootstrap-edgecore.conf`` for ``/etc/kubeedge/config/edgecore.yaml``."""
    return config.absolute().parent.parent / BOOTSTRAP_FILE


class JoinTokenSource:
    """Blocking reads of two small files."""

    def __init__(self, config: Path, bootstrap: Path) -> None:
        self._config = config
        self._bootstrap = bootstrap
        self._said = ""

    def read(self) -> str:
        """The token, or "" when there is none."""
        try:
            if text := self._bootstrap.read_text(encoding="utf-8").strip():
                return text
        except FileNotFoundError:
            pass
        except (OSError, UnicodeDecodeError) as error:
            self._say(f"the join token in {self._bootstrap} cannot be read: {error}")
        try:
            place = _locate(self._config.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            return ""
        return place.value.strip() if place is not None else ""

    def erase(self) -> None:
        """Takes the token out of the configuration; it is of no more use, and whoever reads it could join."""
        try:
            text = self._config.read_text(encoding="utf-8")
            place = _locate(text)
            if place is None or not place.value.strip():
                return
            start, end = place.start_mark.index, place.end_mark.index
            mode = self._config.stat().st_mode & 0o777
            write_atomically(self._config, (text[:start] + '""' + text[end:]).encode(), mode=mode & 0o640)
            log.info("took the used join token out of %s", self._config)
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            self._say(f"the used join token stays in {self._config}: {error}")

    def _say(self, text: str) -> None:
        if text != self._said:
            log.warning("%s", text)
        self._said = text


def _locate(text: str) -> yaml.ScalarNode | None:
    """The node of ``modules.edgeHub.token``. Raises yaml.YAMLError."""
    node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    for step in ("modules", "edgeHub", "token"):
        if not isinstance(node, yaml.MappingNode):
            return None
        node = next((value for key, value in node.value if key.value == step), None)
    if not isinstance(node, yaml.ScalarNode) or node.tag == "tag:yaml.org,2002:null":
        return None
    return node
