"""The systemd unit that ``keadm join`` writes. ``systemd/edgecore.service`` shows the same text."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

PATH = Path("/etc/systemd/system/edgecore.service")


def unit_text(command: Sequence[str]) -> str:
    """``command``: how edgecore is started, absolute. KillMode=process: containers that are plain processes, and a keadm
    that upgrades the edgecore which started it, outlive a stop (KubeEdge 1.23 has the same, for the second reason)."""
    return f"""\
[Unit]
Description=edgecore: the edge half of an edge cluster
Documentation=https://kubeedge.io/docs
After=network.target docker.service containerd.service
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={shlex.join(command)}
Restart=always
RestartSec=10
KillMode=process
TimeoutStartSec=60
TimeoutStopSec=15
LimitNOFILE=1048576

[Install]
WantedBy=multi-user.target
"""
