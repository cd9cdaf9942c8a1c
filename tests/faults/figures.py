"""What cloudcore costs, read from outside: /proc and its own /metrics."""

from __future__ import annotations

import os
import re
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from e2e.harness import Cloud, Program

MIB = 1024 * 1024


def pss(program: Program) -> float:
    """Proportional memory in MiB."""
    for line in Path(f"/proc/{program.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"{program.name} has no Pss")


def cpu(program: Program) -> float:
    """Seconds of processor time so far."""
    words = Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def requests(cloud: Cloud) -> Counter[str]:
    """To the Kubernetes API, by method, as cloudcore counts them."""
    where = yaml.safe_load(cloud.config.read_text())["commonConfig"]["monitorServer"]["bindAddress"]
    with urllib.request.urlopen(f"http://{where}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    found: Counter[str] = Counter()
    for line in text.splitlines():
        if (match := re.fullmatch(r"rest_client_requests_total\{(.*)\} ([0-9.e+]+)", line)) is not None:
            labels = dict(re.findall(r'(\w+)="([^"]*)"', match[1]))
            found[labels["method"]] += int(float(match[2]))
    return found


@dataclass
class Usage:
    """From one moment to another."""

    cloud: Cloud
    cpu: float = 0.0
    requests: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.cpu, self.requests = cpu(self.cloud.program), requests(self.cloud)

    def so_far(self) -> str:
        spent, asked = cpu(self.cloud.program) - self.cpu, requests(self.cloud) - self.requests
        return f"{spent:.1f} s of CPU, {asked.total()} requests {dict(asked)}, PSS {pss(self.cloud.program):.0f} MiB"
