"""Reports of a training: progress on stderr, a summary for the manifest, a loss plot."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.train import Epoch, Report, TrainResult, TrainSettings


@contextmanager
def progress(seconds: float = 0.0, epochs: int = 0) -> Iterator[Report]:
    """Yield a reporter of epochs to stderr, scaled by seconds or epochs, whichever is given."""
    if sys.stderr.isatty():
        with _bar(seconds, epochs) as show:
            yield show
    else:
        yield lambda epoch: _write(line(epoch))


def _write(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def line(epoch: Epoch) -> str:
    """Return one epoch as one line."""
    parts = " ".join(f"{name} {value:.3f}" for name, value in epoch.parts.items())
    return (
        f"epoch {epoch.number}: loss {epoch.loss:.4f} validation {epoch.validation:.4f} ({parts}) "
        f"rate {epoch.learning_rate:.1e}, {epoch.steps} steps in {epoch.seconds:.1f} s"
    )


@contextmanager
def _bar(seconds: float, epochs: int) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("training", total=seconds or epochs)

        def show(epoch: Epoch) -> None:
            step = epoch.seconds if seconds else float(epoch.number > 0)
            bar.update(
                task,
                advance=step,
                description=f"epoch {epoch.number}, validation {epoch.validation:.3f}",
            )

        yield show


def summary(result: TrainResult, settings: TrainSettings) -> dict[str, Any]:
    """The entries of the bundle's manifest about its training."""
    chosen = {name: value for name, value in asdict(settings).items() if name != "log_dir"}
    return {
        "settings": chosen,
        "seconds": round(result.seconds, 1),
        "stopped": result.stopped,
        "epochs": len(result.history) - 1,
        "best_epoch": result.best.number,
        "validation": round(result.best.validation, 4),
        "parts": {name: round(value, 4) for name, value in result.best.parts.items()},
    }


def plot_losses(history: list[Epoch], path: Path) -> None:
    """Plot training and validation loss by epoch, as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    numbers = [epoch.number for epoch in history]
    axes.plot(numbers, [epoch.loss for epoch in history], label="training")
    axes.plot(numbers, [epoch.validation for epoch in history], label="validation")
    axes.set(xlabel="epoch", ylabel="loss")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
