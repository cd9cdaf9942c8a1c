"""Counts of what passes through the hub."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Traffic:
    """Shared by all sessions; numbers since the start. refused: connections that were not admitted."""

    sent: int = 0
    received: int = 0
    refused: int = 0
