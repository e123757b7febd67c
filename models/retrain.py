"""One retraining as a child process: history in, a gated challenger and its edge twin out.

    python -m models.retrain --request request.json

models.retrain_request documents the request. The manifest's training.span, rows and data_sha256
describe the rows that were learnt, not the whole history.

Progress is written as JSON lines to stderr, each with an `event`: started, epoch, trained,
exported, gate, distilled, done | refused | failed. Exit codes:
    0      `out` is a complete bundle with gate.json and gate.html. If a twin was requested it also
           holds distil.json, and `out`-edge exists if the twin kept enough of the quality.
    4      refused; the report is in `out`-refused.
    other  an error; nothing was written.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from models import parity
from models.dataset import HistorySet
from models.finetune import MARGIN, say, shown
from models.gate_rules import GateRules, RuleResult, rules_of
from models.retrain_request import Request, beside, read_request
from models.split import Split, series_of, split
from streamer import artifact
from streamer.artifact import Bundle
from streamer.errors import GateRefused, InputError, ModelError, StreamerError
from streamer.protocols import Clock

if TYPE_CHECKING:
    from models.gate import GateVerdict
    from models.train import TrainResult, TrainSettings

BEGAN = time.monotonic()
# Fraction of the wall time at which training ends, and the twin's training. The rest goes to
# conversions and the gate.
TRAIN_SHARE = 0.4
DISTIL_SHARE = 0.75
# Latest start of a twin; a later one would not finish in time, and lose the challenger as well.
LATEST_DISTIL = 0.7
NOISE = 0.01
# With these values the forecast error in a new regime fell to 0.52 of the starter's; at 5e-4 and a
# patience of 4 to 0.89. In 80 s of two cores 650 steps of 128 rows at 2e-3 brought 0.87, 760 steps
# of 64 rows at 4e-3 0.83. Not tried on a GPU.
RATE = 4e-3
BATCH_ROWS = 64
PATIENCE = 10
PARITY_ANOMALIES = 24
REHEARSAL = 0.05  # fraction of a synthetic epoch, beside as many batches of history


def retrain(request: Request, began_s: float | None = None, clock: Clock = time.monotonic) -> bool:
    """Carry out a request; return whether a twin was made as well.

    `began_s`, on the clock, is when the request's seconds began, by default now. GateRefused, with
    the report written, if the challenger is refused.
    """
    champion, rules = artifact.load(request.champion), rules_of(request.gate)
    past = split(
        series_of(_arrays(request.history), request.history, request.labels), champion.spec
    )
    say(
        "started",
        champion=champion.version,
        rows=past.rows,
        held_rows=past.held_rows,
        entities=len(past.series),
    )
    began_s = clock() if began_s is None else began_s
    with _stage(request.out) as stage:
        return _Work(request, champion, past, rules, began_s, clock).do(stage)


def _arrays(path: Path) -> dict[str, Any]:
    try:
        return artifact.unpack_arrays(path.read_bytes(), path)
    except OSError as exc:
        raise InputError(f"{path}: cannot be read: {exc}") from exc


@contextmanager
def _stage(out: Path) -> Iterator[Path]:
    """Yield a temporary directory beside `out`: a rename must not cross file systems."""
    out.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Work:
    """One retraining in progress."""

    request: Request
    champion: Bundle
    past: Split
    rules: GateRules
    began_s: float
    clock: Clock

    def do(self, stage: Path) -> bool:
        """Make everything in the stage, then rename it, so that `out` is never incomplete."""
        made = self._challenger(stage / "bundle")
        reports = self._gated(made)
        twin = self.request.distil and self._twin(made, stage / "edge", reports)
        artifact.attach(stage / "bundle", reports)
        if twin:
            (stage / "edge").rename(beside(self.request.out, "-edge"))
        (stage / "bundle").rename(self.request.out)
        return twin

    def _challenger(self, out: Path) -> Bundle:
        """Train and export; GateRefused, with a report, if training gained nothing."""
        from models import export, training_report

        result, settings = self._trained()
        before, after = result.history[0].validation, result.best.validation
        say(
            "trained",
            before=before,
            after=after,
            seconds=round(result.seconds, 1),
            stopped=result.stopped,
        )
        if not after < before - MARGIN:
            self._refuse(
                RuleResult(
                    "gain", False, f"training gained nothing: loss {before:.4f} -> {after:.4f}"
                )
            )
        made = export.write_bundle(
            out,
            version=self.request.version,
            spec=self.champion.spec,
            weights=result.weights,
            calibration=self.champion.calibration,
            prove=parity.BACKENDS,
            training=self._training() | {"fit": training_report.summary(result, settings)},
        )
        say(
            "exported",
            sha256=made.sha256,
            bytes={name: len(blob) for name, blob in sorted(made.parts.items())},
        )
        return made

    def _trained(self) -> tuple[TrainResult, TrainSettings]:
        from models.pretrain import SyntheticSet
        from models.rehearsal import MixedSet
        from models.train import TrainSettings, train

        fresh = self.request.start == "scratch"
        settings = TrainSettings(
            epochs=200,
            seconds=self._left(TRAIN_SHARE),
            learning_rate=RATE,
            patience=20 if fresh else PATIENCE,
            noise=NOISE,
            batch_rows=BATCH_ROWS,
            seed=self.request.seed,
        )
        spec = self.champion.spec
        recorded = HistorySet(spec, self.past.train, pieces=256)
        data = MixedSet(recorded, SyntheticSet(spec, self.request.seed, REHEARSAL))
        start = None if fresh else self.champion.weights
        result = train(
            settings, data, start=start, report=lambda e: say("epoch", **shown(e)), clock=self.clock
        )
        return result, settings

    def _left(self, share: float) -> float:
        """Seconds until this fraction of the request's time has passed; at least 1."""
        return max(share * self.request.seconds - (self.clock() - self.began_s), 1.0)

    def _training(self) -> dict[str, Any]:
        """Entries of the manifest: those of the request, and what was learnt."""
        past, fresh = self.past, self.request.start == "scratch"
        own = {
            "parent": None if fresh else self.champion.version,
            "rows": past.rows,
            "span": list(past.train_span_s),
            "data_sha256": past.train_sha256,
            "held_out": list(past.held_span_s),
        }
        return dict(self.request.training) | own

    def _gated(self, made: Bundle) -> dict[str, bytes]:
        """Return the reports of a challenger that passes; else GateRefused, with a report."""
        from models import gate, gate_report

        verdict = gate.judge(
            self.champion,
            made,
            self.past,
            self.rules,
            detect=self.request.detect,
            seed=self.request.seed,
        )
        verdict = self._precise(made, verdict) if verdict.passed else verdict
        broken = [finding.name for finding in verdict.findings if not finding.ok]
        say("gate", passed=verdict.passed, broken=broken, why=verdict.why)
        if not verdict.passed:
            self._refused(verdict)
        return gate_report.report(verdict)

    def _precise(self, made: Bundle, verdict: GateVerdict) -> GateVerdict:
        """The verdict with a rule for every exported precision."""
        from models import evaluate
        from models.planted_trial import build

        aimed = min(self.rules.anomalies, PARITY_ANOMALIES)
        trial = build(self.past.series, self.request.seed, aimed=aimed, warm=self.rules.warm_rows)
        forms = parity.measure(made, trial, evaluate.settings_for(trial, self.request.detect))
        return verdict.with_more(parity.findings(forms), {"precisions": parity.figures(forms)})

    def _refuse(self, finding: RuleResult) -> None:
        from models.gate import GateVerdict, spans

        figures = {"spans": spans(self.past)}
        self._refused(
            GateVerdict(
                self.champion.version, self.request.version, (finding,), figures, self.rules
            )
        )

    def _refused(self, verdict: GateVerdict) -> None:
        """Write the report beside the bundle's path, and raise GateRefused."""
        from models import gate_report

        directory = beside(self.request.out, "-refused")
        directory.mkdir()
        gate_report.write_report(verdict, directory)
        verdict.require()

    def _twin(self, teacher: Bundle, out: Path, reports: dict[str, bytes]) -> bool:
        """Distil and add distil.json to the reports; return whether the student passed."""
        from models import distil

        if self.clock() - self.began_s > LATEST_DISTIL * self.request.seconds:
            say(
                "distilled", passed=False, why="no time was left for a twin; give the training more"
            )
            return False
        student = distil.train_student(
            teacher,
            self.past,
            out,
            version=f"{self.request.version}-edge",
            start=self._twin_in_service(),
            seconds=self._left(DISTIL_SHARE),
            seed=self.request.seed,
            training=self._training(),
            report=lambda e: say("epoch", network="edge", **shown(e)),
            clock=self.clock,
        )
        kept = distil.compare(
            teacher,
            student,
            self.past,
            detect=self.request.detect,
            rules=self.rules,
            seed=self.request.seed,
        )
        reports["distil.json"] = (json.dumps(kept.as_json(), indent=1) + "\n").encode()
        say("distilled", passed=kept.passed, quality=kept.quality, why=kept.why)
        if kept.passed:
            artifact.attach(out, {"distil.json": reports["distil.json"]})
        return kept.passed

    def _twin_in_service(self) -> Bundle | None:
        """The twin in service as the student's start; None if there is no usable one."""
        try:
            return artifact.load(self.request.edge) if self.request.edge else None
        except ModelError as exc:
            say("edge_unusable", error=str(exc))
            return None


@click.command()
@click.option(
    "--request",
    "path",
    type=click.Path(path_type=Path),
    required=True,
    help="JSON file, see models/retrain_request.py.",
)
def main(path: Path) -> None:
    """Train, distil, export and gate as a request file says."""
    try:
        request = read_request(path)
        twin = retrain(request, BEGAN)
    except StreamerError as exc:
        say("refused" if isinstance(exc, GateRefused) else "failed", error=str(exc))
        raise SystemExit(exc.exit_code) from exc
    say(
        "done",
        out=str(request.out),
        version=request.version,
        edge=twin,
        seconds=round(time.monotonic() - BEGAN, 1),
    )


if __name__ == "__main__":
    main()
