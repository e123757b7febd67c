"""Backends that run the network step of a bundle.

Heavy packages are imported only by the constructor of the chosen backend.
"""

from __future__ import annotations

import importlib.util

from streamer.artifact import Bundle, ModelSpec
from streamer.errors import BackendError
from streamer.protocols import Network

NAMES = ("litert", "litert-fp16", "litert-int8", "keras", "numpy", "baseline")


def open_scorer(bundle: Bundle, backend: str = "auto", threads: int = 1) -> Network:
    """Open the bundle's step on the named backend.

    "auto" is litert if it is installed, else numpy. BackendError if the name is unknown or its
    package is missing (the message names the pip extra).
    """
    name = default_backend() if backend == "auto" else backend
    if name.startswith("litert") and name in NAMES:
        from streamer.backends.litert import LiteRTScorer

        return LiteRTScorer(bundle, name, threads)
    if name == "keras":
        from streamer.backends.keras_step import KerasScorer

        return KerasScorer(bundle)
    if name == "numpy":
        from streamer.backends.reference import NumpyScorer

        return NumpyScorer(bundle)
    if name == "baseline":
        return baseline_scorer(bundle.spec)
    raise BackendError(f"backend {backend!r} is unknown; choose auto, {', '.join(NAMES)}")


def baseline_scorer(spec: ModelSpec) -> Network:
    """Return the robust z-score, which needs no bundle; its `ref` says baseline."""
    from streamer.backends.baseline import BaselineScorer

    return BaselineScorer(spec)


def default_backend() -> str:
    """The backend that "auto" selects here."""
    return "litert" if importlib.util.find_spec("ai_edge_litert") else "numpy"
