"""One retraining, as the body of a child process: history in, a gated challenger and its edge twin
out, or a refusal.

    python -m models.retrain --request request.json

request.json (paths absolute or relative to the request's folder):
    champion   directory of the bundle in service
    history    npz: values (P, L, C) with NaN = missing, time_s (P, L) ascending;
               optional mask (P, L) = 1 for rows that
               must not be learnt, weight (P, L) of each row in the loss (1), rhythm (P,) = 0 where
               the clock carries
               nothing, entity (P,) names of the pieces' owners (several pieces may be of one
               entity)
    labels     optional list of {"start_s", "end_s", "entity": name or null}: confirmed
               anomalies; never learnt, and
               what the gate counts as caught or missed where they lie in the held-out span
    out        directory that must not exist; `out` + "-edge" is the edge twin's, `out` +
               "-refused" a refusal's
    version    of the new bundle; the edge twin's is version + "-edge"
    seconds    optional wall time of all of it (600); seed optional (0)
    start      optional "champion" | "scratch"
    distil     optional, whether to make an edge twin (true); edge: optional directory of
               the edge twin in service
    gate       optional, fields of models.gate.GateRules
    detect     optional, fields of streamer.settings.DetectSettings of the stream that is
               being served
    training   optional, what the manifest says besides: cause, created_by, created_at ...

The manifest's training.span, rows and data_sha256 are those of the rows that were learnt, never of
the whole history.

Progress: JSON lines on stderr, each with an `event`: started, epoch, trained, exported, gate,
distilled, done | refused
| failed. Exit 0: `out` is a complete bundle that holds gate.json, gate.html and, where a twin was
asked for,
distil.json; `out`-edge is there if the twin kept enough of the quality, which distil.json says.
Exit 4: refused, and
the report lies in `out`-refused. Any other code: an error, and nothing was written.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from models import parity
from models.dataset import HistorySet
from models.finetune import MARGIN, say, shown
from models.gate_rules import GateRules, RuleResult, rules_of
from models.split import LabelledSpan, Split, series_of, split
from streamer import artifact
from streamer.artifact import Bundle
from streamer.errors import GateRefused, InputError, ModelError, StreamerError
from streamer.protocols import Clock

if TYPE_CHECKING:
    from models.gate import GateVerdict
    from models.train import TrainResult, TrainSettings

BEGAN = time.monotonic()
STARTS = ("champion", "scratch")
# Of the wall time: training, then the twin's; the rest goes to conversions and the gate.
TRAIN_SHARE, DISTIL_SHARE = 0.4, 0.75
LATEST_DISTIL = (
    0.7  # a twin that begins later would not be done in time, and cost the challenger too
)
NOISE = 0.01
# At 5e-4 and a patience of 4 the forecast error in a new regime fell to 0.89 of the starter's, so
# to 0.52. In 80 s of two cores 650 steps of 128 rows at 2e-3 brought 0.87, 760 of 64 rows at 4e-3
# 0.83. Not tried on a GPU.
RATE, BATCH_ROWS, PATIENCE = 4e-3, 64, 10
PARITY_ANOMALIES = 24
REHEARSAL = 0.05  # of a whole synthetic epoch, beside as many batches of history


@dataclass(frozen=True, slots=True)
class Request:
    """What the module's docstring says, checked."""

    champion: Path
    history: Path
    out: Path
    version: str
    labels: tuple[LabelledSpan, ...] = ()
    seconds: float = 600.0
    seed: int = 0
    start: str = "champion"
    distil: bool = True
    edge: Path | None = None
    gate: Mapping[str, Any] = field(default_factory=dict)
    detect: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.start not in STARTS:
            raise InputError(
                f"request: start must be one of {', '.join(STARTS)}, got {self.start!r}"
            )
        if not self.version:
            raise InputError("request: version is empty")
        for taken in (self.out, beside(self.out, "-edge"), beside(self.out, "-refused")):
            if taken.exists():
                raise InputError(f"request: {taken} exists already; name a new directory")


def beside(out: Path, suffix: str) -> Path:
    """The neighbour of `out` with a suffix."""
    return out.with_name(out.name + suffix)


def read_request(path: Path) -> Request:
    """InputError naming the key if the request is not as documented."""
    try:
        raw = json.loads(path.read_text())
    except (OSError, ValueError) as exc:
        raise InputError(f"{path}: cannot be read as JSON: {exc}") from exc
    if not isinstance(raw, dict):
        raise InputError(f"{path}: is not a JSON object")
    known = set(Request.__dataclass_fields__)
    if unknown := sorted(raw.keys() - known):
        raise InputError(
            f"{path}: unknown key {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )
    if missing := sorted({"champion", "history", "out", "version"} - raw.keys()):
        raise InputError(f"{path}: lacks {', '.join(missing)}")
    paths = {
        name: path.parent / raw[name]
        for name in ("champion", "history", "out", "edge")
        if raw.get(name)
    }
    given = {name: value for name, value in raw.items() if value is not None}
    return Request(**(given | paths | {"labels": _labels(path, raw.get("labels") or [])}))


def _labels(path: Path, raw: Any) -> tuple[LabelledSpan, ...]:
    try:
        return tuple(
            LabelledSpan(float(one["start_s"]), float(one["end_s"]), one.get("entity"))
            for one in raw
        )
    except (TypeError, KeyError, ValueError, AttributeError) as exc:
        raise InputError(
            f"{path}: labels must be objects with start_s, end_s and entity: {exc!r}"
        ) from exc


def retrain(request: Request, began_s: float | None = None, clock: Clock = time.monotonic) -> bool:
    """Do what is asked; True if a twin was made as well. GateRefused, with the report written, or
    another error.

    `began_s`, on the clock, is when the request's seconds began; now, if it is not given.
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
    """A directory beside `out` (a rename must not cross file systems) that is gone afterwards."""
    out.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Work:
    """One retraining under way."""

    request: Request
    champion: Bundle
    past: Split
    rules: GateRules
    began_s: float
    clock: Clock

    def do(self, stage: Path) -> bool:
        """Everything in the stage first; whoever sees `out` sees all of it."""
        made = self._challenger(stage / "bundle")
        reports = self._gated(made)
        twin = self.request.distil and self._twin(made, stage / "edge", reports)
        artifact.attach(stage / "bundle", reports)
        if twin:
            (stage / "edge").rename(beside(self.request.out, "-edge"))
        (stage / "bundle").rename(self.request.out)
        return twin

    def _challenger(self, out: Path) -> Bundle:
        """Train and export. GateRefused, report written, where training gained nothing."""
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
        return train(
            settings, data, start=start, report=lambda e: say("epoch", **shown(e))
        ), settings

    def _left(self, share: float) -> float:
        """Seconds until so much of the request's time has gone; at least one."""
        return max(share * self.request.seconds - (self.clock() - self.began_s), 1.0)

    def _training(self) -> dict[str, Any]:
        """What the manifest says: the request's words, and what was really learnt."""
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
        """The reports of a challenger that passes; GateRefused, report written, for another."""
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
        """The verdict with what every exported precision changes."""
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
        """Write the report beside where the bundle would be, and raise."""
        from models import gate_report

        directory = beside(self.request.out, "-refused")
        directory.mkdir()
        gate_report.write_report(verdict, directory)
        verdict.require()

    def _twin(self, teacher: Bundle, out: Path, reports: dict[str, bytes]) -> bool:
        """Distil; add distil.json to the reports. Whether the student kept enough to be
        published.
        """
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
        """Where the student may start from; what cannot be used is left alone."""
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
    help="See the module's docstring.",
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
