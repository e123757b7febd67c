"""One retraining, as the body of a child process: history in, a gated challenger and its edge twin out, or a refusal.

    python -m models.retrain --request request.json

request.json (paths absolute or relative to the request's folder):
    champion   directory of the bundle in service
    history    npz: values (P, L, C) with NaN = missing, time_s (P, L) ascending; optional mask (P, L) = 1 for rows that
               must not be learnt, rhythm (P,) = 0 where the clock carries nothing, entity (P,) names of the pieces'
               owners (several pieces may be of one entity)
    labels     optional list of {"start_s", "end_s", "entity": name or null}: confirmed anomalies; never learnt, and
               what the gate counts as caught or missed where they lie in the held-out span
    out        directory that must not exist; `out` + "-edge" is the edge twin's, `out` + "-refused" a refusal's
    version    of the new bundle; the edge twin's is version + "-edge"
    seconds    optional wall time of all of it (600); seed optional (0)
    start      optional "champion" | "scratch"
    distil     optional, whether to make an edge twin (true); edge: optional directory of the edge twin in service
    gate       optional, fields of models.gate.GateRules
    detect     optional, fields of streamer.detect.settings.DetectSettings of the stream that is being served
    training   optional, what the manifest says besides: cause, created_by, created_at ...

The manifest's training.span, rows and data_sha256 are those of the rows that were learnt, never of the whole history.

Progress: JSON lines on stderr, each with an `event`: started, epoch, trained, exported, gate, distilled, done | refused
| failed. Exit 0: `out` is a complete bundle that holds gate.json, gate.html and, where a twin was asked for,
distil.json; `out`-edge is there if the twin kept enough of the quality, which distil.json says. Exit 4: refused, and
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

from models.dataset import HistorySet
from models.finetune import LEARNING_RATE, MARGIN, say, shown
from models.gate_rules import Finding, GateRules, rules_of
from models.split import Label, Split, series_of, split
from streamer import artifact
from streamer.artifact import Bundle
from streamer.errors import GateRefused, InputError, ModelError, StreamerError

if TYPE_CHECKING:
    from models.gate import Verdict

BEGAN = time.monotonic()
STARTS = ("champion", "scratch")
# Of the wall time: training, then the twin's; the rest goes to conversions and the gate.
TRAIN_SHARE, DISTIL_SHARE = 0.45, 0.75
FRESH_RATE, NOISE = 4e-3, 0.01
PARITY_ANOMALIES = 60


@dataclass(frozen=True, slots=True)
class Request:
    """What the module's docstring says, checked."""

    champion: Path
    history: Path
    out: Path
    version: str
    labels: tuple[Label, ...] = ()
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
            raise InputError(f"request: start must be one of {', '.join(STARTS)}, got {self.start!r}")
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
        raise InputError(f"{path}: unknown key {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    if missing := sorted({"champion", "history", "out", "version"} - raw.keys()):
        raise InputError(f"{path}: lacks {', '.join(missing)}")
    paths = {name: path.parent / raw[name] for name in ("champion", "history", "out", "edge") if raw.get(name)}
    given = {name: value for name, value in raw.items() if value is not None}
    return Request(**(given | paths | {"labels": _labels(path, raw.get("labels") or [])}))


def _labels(path: Path, raw: Any) -> tuple[Label, ...]:
    try:
        return tuple(Label(float(one["start_s"]), float(one["end_s"]), one.get("entity")) for one in raw)
    except (TypeError, KeyError, ValueError, AttributeError) as exc:
        raise InputError(f"{path}: labels must be objects with start_s, end_s and entity: {exc!r}") from exc


def retrain(request: Request) -> bool:
    """Do what is asked; True if a twin was made as well. GateRefused, with the report written, or another error."""
    champion = artifact.load(request.champion)
    rules = rules_of(request.gate)
    past = split(series_of(_arrays(request.history), request.history, request.labels), champion.spec)
    say("started", champion=champion.version, rows=past.rows, held_rows=past.held_rows, entities=len(past.series))
    with _stage(request.out) as stage:
        made = _challenger(request, champion, past, stage / "bundle")
        reports = _gated(request, champion, made, past, rules)
        twin = _twin(request, made, past, stage / "edge", reports, rules) if request.distil else False
        artifact.attach(stage / "bundle", reports)
        if twin:
            (stage / "edge").rename(beside(request.out, "-edge"))
        (stage / "bundle").rename(request.out)  # last: who sees it sees all
    return twin


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


def _challenger(request: Request, champion: Bundle, past: Split, out: Path) -> Bundle:
    """Train and export. Raises GateRefused, report written, where training gained nothing."""
    from models import export, report
    from models.train import TrainSettings, train

    fresh = request.start == "scratch"
    settings = TrainSettings(
        epochs=200, seconds=_left(request, TRAIN_SHARE), learning_rate=FRESH_RATE if fresh else LEARNING_RATE,
        patience=20 if fresh else 4, noise=NOISE, batch_rows=128, seed=request.seed,
    )  # fmt: skip
    data = HistorySet(champion.spec, past.train, pieces=256)
    result = train(settings, data, start=None if fresh else champion.weights, report=lambda e: say("epoch", **shown(e)))
    before, after = result.history[0].validation, result.best.validation
    say("trained", before=before, after=after, seconds=round(result.seconds, 1), stopped=result.stopped)
    if not after < before - MARGIN:
        _refuse(
            request,
            champion,
            past,
            Finding("gain", False, f"training gained nothing: loss {before:.4f} -> {after:.4f}"),
        )
    training = _training(request, champion, past) | {"fit": report.summary(result, settings)}
    made = export.write_bundle(
        out, version=request.version, spec=champion.spec, weights=result.weights,
        calibration=champion.calibration, training=training, prove=("litert", "litert-fp16", "litert-int8"),
    )  # fmt: skip
    say("exported", sha256=made.sha256, bytes={name: len(blob) for name, blob in sorted(made.parts.items())})
    return made


def _left(request: Request, share: float) -> float:
    """Seconds until so much of the request's time has gone; at least one."""
    return max(share * request.seconds - (time.monotonic() - BEGAN), 1.0)


def _training(request: Request, champion: Bundle, past: Split) -> dict[str, Any]:
    own = {
        "parent": None if request.start == "scratch" else champion.version, "rows": past.rows,
        "span": list(past.train_span_s), "data_sha256": past.train_sha256, "held_out": list(past.held_span_s),
    }  # fmt: skip
    return dict(request.training) | own


def _gated(request: Request, champion: Bundle, made: Bundle, past: Split, rules: GateRules) -> dict[str, bytes]:
    """The reports of a challenger that passes; GateRefused, report written, for another."""
    from models import gate, gate_page

    verdict = gate.judge(champion, made, past, rules, detect=request.detect, seed=request.seed)
    if verdict.passed:
        verdict = _precise(request, made, past, verdict, rules)
    broken = [finding.name for finding in verdict.findings if not finding.ok]
    say("gate", passed=verdict.passed, broken=broken, why=verdict.why)
    reports = gate_page.report(verdict)
    if not verdict.passed:
        _write(beside(request.out, "-refused"), reports)
        verdict.require()
    return reports


def _precise(request: Request, made: Bundle, past: Split, verdict: Verdict, rules: GateRules) -> Verdict:
    """The verdict with what every exported precision changes."""
    from models import evaluate, parity
    from models.trial import build

    trial = build(past.series, request.seed, aimed=min(rules.anomalies, PARITY_ANOMALIES), warm=rules.warm_rows)
    forms = parity.measure(made, trial, evaluate.settings_for(trial, request.detect))
    return verdict.with_more(parity.findings(forms), {"precisions": parity.figures(forms)})


def _refuse(request: Request, champion: Bundle, past: Split, finding: Finding) -> None:
    from models import gate, gate_page

    verdict = gate.Verdict(
        champion.version, request.version, (finding,), {"spans": gate.spans(past)}, rules_of(request.gate)
    )
    _write(beside(request.out, "-refused"), gate_page.report(verdict))
    verdict.require()


def _write(directory: Path, files: Mapping[str, bytes]) -> None:
    directory.mkdir(parents=True)
    for name, blob in files.items():
        (directory / name).write_bytes(blob)


def _twin(
    request: Request, teacher: Bundle, past: Split, out: Path, reports: dict[str, bytes], rules: GateRules
) -> bool:
    """Distil; add distil.json to the reports. Whether the student kept enough to be published."""
    from models import distil

    student = distil.train_student(
        teacher, past, out, version=f"{request.version}-edge", start=_twin_in_service(request),
        seconds=_left(request, DISTIL_SHARE), seed=request.seed, training=_training(request, teacher, past),
        report=lambda e: say("epoch", network="edge", **shown(e)),
    )  # fmt: skip
    kept = distil.compare(teacher, student, past, detect=request.detect, rules=rules, seed=request.seed)
    reports["distil.json"] = (json.dumps(kept.as_json(), indent=1) + "\n").encode()
    say("distilled", passed=kept.passed, quality=kept.quality, why=kept.why)
    if kept.passed:
        artifact.attach(out, {"distil.json": reports["distil.json"]})
    return kept.passed


def _twin_in_service(request: Request) -> Bundle | None:
    """Where the student starts from; anything that is no twin of ours is left alone."""
    try:
        return artifact.load(request.edge) if request.edge else None
    except ModelError as exc:
        say("edge_unusable", error=str(exc))
        return None


@click.command()
@click.option("--request", "path", type=click.Path(path_type=Path), required=True, help="See the module's docstring.")
def main(path: Path) -> None:
    """Train, distil, export and gate as a request file says."""
    try:
        request = read_request(path)
        twin = retrain(request)
    except StreamerError as exc:
        say("refused" if isinstance(exc, GateRefused) else "failed", error=str(exc))
        raise SystemExit(exc.exit_code) from exc
    say("done", out=str(request.out), version=request.version, edge=twin, seconds=round(time.monotonic() - BEGAN, 1))


if __name__ == "__main__":
    main()
