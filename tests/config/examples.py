"""A right configuration, and how tests load what they make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from streamer.config import Config, ConfigErrors, load_config

GOOD = """\
version: 1
streams:
  - name: vibration
    preset: sensors
    source: {kind: file, path: data.csv}
    fields: {entity: device, time: {path: ts, unit: s}, channels: [rms, temp], units: {rms: mm/s}}
    window: {length: 32, max_gap: 30s, late: 10s}
    detect: {direction: above, min_deviation: 0.3, for: "3 of 5", cooldown: 2m}
    alerts: {budget: 5/day, severity: {warning: 1.0, critical: 2.0}}
server: {listen: "127.0.0.1:8080", token: "${STREAMER_TOKEN:-}"}
log: {level: info, format: auto}
"""


def load(
    tmp_path: Path, text: str, sets: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> Config:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return load_config(path, sets, env or {})


def problems(
    tmp_path: Path, text: str, sets: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> list[str]:
    """First lines of all problems, without the folder."""
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path, text, sets, env)
    return [p.render().splitlines()[0].replace(f"{tmp_path}/", "") for p in caught.value.problems]
