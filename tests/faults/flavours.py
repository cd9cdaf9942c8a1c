"""Which Kubernetes API a test runs against."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.harness import Cloud

MakeCloud = Callable[[Path], Cloud]
BOTH = pytest.mark.parametrize(
    "make_cloud", ["embedded", pytest.param("kubernetes", marks=pytest.mark.kubernetes)], indirect=True
)
"""The embedded one and a real one: for faults in which the API has a part."""
