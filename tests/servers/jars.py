"""Apache Kafka's jars, fetched once by Maven into a folder that git ignores, named by the hash of
the pom.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

POM = Path(__file__).parent / "kafka" / "pom.xml"
CACHE = Path(__file__).resolve().parents[2] / ".servers"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
_OR = (
    "or name a running Kafka in STREAMER_TEST_KAFKA (its faults and secured doors are then left "
    "out)"
)


def missing() -> str | None:
    """What must be installed before Kafka can run here, as a sentence; None where nothing is
    missing.
    """
    if shutil.which("java") is None:
        return (
            f"no java: install Java 17 or newer and Maven (Debian: apt install "
            f"default-jre-headless maven), {_OR}"
        )
    if not _folder().is_dir() and shutil.which("mvn") is None:
        return (
            f"no mvn to fetch Apache Kafka with: install Maven (Debian: apt install maven), {_OR}"
        )
    return None


def classpath() -> str:
    """The class path of Apache Kafka; the first call on a machine fetches it (43 MB)."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _folder().is_dir():
            _fetch(_folder())
    return f"{_folder()}/*"


def _folder() -> Path:
    return CACHE / f"kafka-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"


def _fetch(folder: Path) -> None:
    """Into a neighbour first: a fetch that was cut off leaves nothing that looks whole."""
    half = folder.with_suffix(f".{os.getpid()}")
    scope = ["-DincludeScope=runtime", f"-DoutputDirectory={half}"]
    subprocess.run(
        ["mvn", "-q", "-B", "-f", str(POM), _COPY, *scope], check=True, stdin=subprocess.DEVNULL
    )
    half.rename(folder)
