"""Detection quality of the shipped bundle and the default settings: `make quality`.

    python -m bench.quality                            everything; writes bench/results/quality.json
    python -m bench.quality --only synth,pump          some parts; the others keep their figures
    python -m bench.quality --only nab --limit 10      some series of a part; printed, not kept
    python -m bench.quality --quick                    three minutes: a part of `choose`, the pump
    python -m bench.quality --plots                    pictures of some streams into out/quality

Parts: synth_choose and synth_confirm (both: synth), copies, pump; nab, nabcopies, asd, smd, smap
and skab take their data from ../shared/data and are left out, with a word, where there is none.
Causal throughout. The public data were used in development: their figures say where the project
stands, not how it generalises.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from bench import data, figures
from bench.figures import Figure
from bench.quality import copies, nab, pump, sets, synth
from bench.quality.found import Found, Scope
from bench.quality.run import MODES, say

PARTS: dict[str, Callable[[Scope], Found]] = {
    "synth_choose": partial(synth.measure, "choose"),
    "synth_confirm": partial(synth.measure, "confirm"),
    "copies": copies.measure_copies,
    "pump": pump.measure,
    "nab": nab.measure,
    "nabcopies": nab.measure_copies,
    "asd": partial(sets.measure, "asd"),
    "smd": partial(sets.measure, "smd"),
    "smap": partial(sets.measure, "smap"),
    "skab": sets.measure_skab,
}
MADE_HERE = ("synth_choose", "synth_confirm", "copies", "pump")
GROUPS = {"synth": ("synth_choose", "synth_confirm")}
QUICK = ("synth_choose", "pump")
PLOTS = figures.ROOT / "out" / "quality"


def measured(part: str, scope: Scope) -> Found | None:
    """One part; None where its data or a package is missing."""
    if part not in MADE_HERE and not (data.SHARED / "data").is_dir():
        say(f"{part} is left out: there is no public data beside this checkout")
        return None
    try:
        return PARTS[part](scope)
    except (ImportError, FileNotFoundError) as exc:
        say(f"{part} is left out: {exc}")
        return None


def measured_all(parts: list[str], scope: Scope, jobs: int) -> dict[str, Found]:
    """All parts, in so many processes."""
    if jobs == 1 or len(parts) == 1:
        found = map(measured, parts, [scope] * len(parts))
        return {part: one for part, one in zip(parts, found, strict=True) if one is not None}
    with ProcessPoolExecutor(jobs) as pool:
        results = pool.map(measured, parts, [scope] * len(parts))
        return {part: one for part, one in zip(parts, results, strict=True) if one is not None}


def merged(old: dict[str, Any], found: dict[str, Found]) -> dict[str, Any]:
    """The body of the result file: parts that were measured now, and the others as they were."""
    names = tuple(f"{part}_" for part in found)
    kept = [Figure(**f) for f in old.get("figures", []) if not f["name"].startswith(names)]
    body: dict[str, Any] = {"figures": kept, "tables": {}, "detail": {}, "parts": {}}
    for key in ("tables", "detail"):
        body[key] = {k: v for k, v in old.get(key, {}).items() if not f"{k}_".startswith(names)}
    body["parts"] = dict(old.get("parts", {}))
    for part, one in found.items():
        body["figures"] += one.figures
        body["tables"] |= {name: table.as_json() for name, table in one.tables.items()}
        body["detail"] |= {part: one.detail} if one.detail else {}
        body["parts"][part] = figures.provenance("quality")
    return body


def keep(found: dict[str, Found], path: Path) -> None:
    """Write the result file, or what a limited run found to a file of its own."""
    old = json.loads(path.read_text()) if path.exists() else {}
    old = old if old.get("parts") else {}
    body = merged(old, found)
    figures.write("quality", body.pop("figures"), path=path, **body)
    say(f"written: {path.name}")


def main() -> None:
    args = _arguments()
    parts = _parts(args)
    steps = tuple(float(step) for step in args.steps.split(","))
    scope = Scope(args.limit, args.quick, tuple(args.modes.split(",")), args.long, steps)
    began = time.monotonic()
    if args.plots is not None:
        from bench.quality import plots

        plots.draw_some(args.plots, most=args.limit)
        return
    found = measured_all(parts, scope, args.jobs)
    for part, one in found.items():
        for name, table in one.tables.items():
            print(f"\n{name}\n{table.text()}", flush=True)
        if not one.tables:
            print(f"\n{part}\n{figures.table(one.figures)}", flush=True)
    say(f"{time.monotonic() - began:.0f} s")
    path = args.out or (None if args.quick or args.limit else figures.RESULTS / "quality.json")
    if path is not None:
        keep(found, path)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default="", help=f"of {','.join(PARTS)}, synth")
    parser.add_argument("--modes", default="", help=f"of {','.join(MODES)}")
    parser.add_argument("--limit", type=int, help="so many series of each part")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--steps", default="1,10,60", help="seconds between rows of the pump")
    parser.add_argument("--long", action="store_true", help="with streams that take minutes")
    parser.add_argument("--jobs", type=int, choices=(1, 2), default=2)
    parser.add_argument("--out", type=Path, help="write the result file there")
    parser.add_argument("--plots", type=Path, nargs="?", const=PLOTS, help="draw, measure nothing")
    args = parser.parse_args()
    args.modes = args.modes or ("zero_shot,fitted" if args.quick else ",".join(MODES))
    unknown = set(args.modes.split(",")) - MODES.keys()
    if unknown:
        parser.error(f"no such mode: {', '.join(sorted(unknown))}")
    return args


def _parts(args: argparse.Namespace) -> list[str]:
    if not args.only:
        return list(QUICK if args.quick else PARTS)
    named = [name for word in args.only.split(",") for name in GROUPS.get(word, (word,))]
    unknown = [name for name in named if name not in PARTS]
    if unknown:
        raise SystemExit(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return named


if __name__ == "__main__":
    main()
