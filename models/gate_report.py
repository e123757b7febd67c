"""The gate's report as one self-contained HTML page: findings, figures, inline SVG plots."""

from __future__ import annotations

import html
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.gate import GateVerdict

CHAMPION, CHALLENGER = "#5b6b7b", "#d9622b"
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;
margin:2rem auto;padding:0 1rem;color:#1c2733;background:#fff}
h1{font-size:1.5rem} .yes{color:#1d7a3e} .no{color:#b3261e}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #dfe5ea;vertical-align:top}
td.n{text-align:right}
figure{display:inline-block;margin:1rem 1rem 0 0;max-width:100%} svg{max-width:100%;height:auto}
figcaption{color:#5b6b7b;font-size:.9rem;max-width:28rem}
"""


def write_report(verdict: GateVerdict, directory: Path) -> None:
    """Write gate.json and gate.html into an existing directory."""
    for name, blob in report(verdict).items():
        (directory / name).write_bytes(blob)


def report(verdict: GateVerdict) -> dict[str, bytes]:
    """Return gate.json and gate.html by name."""
    told = verdict.as_json()
    return {
        "gate.json": (json.dumps(told, indent=1) + "\n").encode(),
        "gate.html": page(told).encode(),
    }


def page(told: Mapping[str, Any]) -> str:
    """Return the page of a verdict's JSON."""
    title = f"{told['challenger']} {'passes' if told['passed'] else 'is refused'}"
    mark = (
        '<span class="yes">passes</span>'
        if told["passed"]
        else '<span class="no">is refused</span>'
    )
    body = [
        f"<h1>{html.escape(told['challenger'])} {mark}</h1>",
        f"<p>Judged against {html.escape(told['champion'])} on the same held-out rows. "
        f"{_about(told)}</p>",
        _findings(told["findings"]),
        _precisions(told.get("precisions", [])),
        *_figures(told),
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta '
        f'charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _about(told: Mapping[str, Any]) -> str:
    trial = told.get("trial")
    if not trial:
        return "It was not run: what is unsound is refused before."
    return (
        f"{trial['entities']} entities, {trial['clean_rows']:,} rows of normal operation over "
        f"{trial['days']:.2g} "
        f"entity days, {trial['anomalies']} anomalies, {trial['rows']:,} rows in all with the "
        f"planted copies."
    )


def _findings(findings: Sequence[Mapping[str, Any]]) -> str:
    names = ("", "rule", "finding", "champion", "challenger", "limit")
    head = "<tr>" + "".join(f"<th>{name}</th>" for name in names) + "</tr>"
    return f"<table>{head}{''.join(_row(one) for one in findings)}</table>"


def _precisions(forms: Sequence[Mapping[str, Any]]) -> str:
    """A table of what each exported precision costs and changes."""
    if not forms:
        return ""
    shown = {
        "bytes": "bytes",
        "step_us": "us an event",
        "mean_difference": "mean score change",
        "max_difference": "largest",
        "flipped": "alerts flipped",
        "alerts": "of",
    }
    head = f"<tr><th>precision</th>{''.join(f'<th>{title}</th>' for title in shown.values())}</tr>"
    return f"<table>{head}{''.join(_form(form, tuple(shown)) for form in forms)}</table>"


def _form(form: Mapping[str, Any], names: Sequence[str]) -> str:
    cells = (f"{form[n]:,}" if isinstance(form[n], int) else _number(form[n]) for n in names)
    numbers = "".join(f'<td class="n">{cell}</td>' for cell in cells)
    return f"<tr><td>{html.escape(form['backend'])}</td>{numbers}</tr>"


def _row(one: Mapping[str, Any]) -> str:
    mark = '<td class="yes">kept</td>' if one["ok"] else '<td class="no">broken</td>'
    numbers = "".join(
        f'<td class="n">{_number(one[name])}</td>' for name in ("champion", "challenger", "limit")
    )
    name, said = html.escape(one["name"]), html.escape(one["said"])
    return f"<tr>{mark}<td>{name}</td><td>{said}</td>{numbers}</tr>"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _figures(told: Mapping[str, Any]) -> list[str]:
    drawn: list[tuple[str, str, Callable[[Any, Mapping[str, Any]], None]]] = [
        ("curves", "Anomalies caught against false alarms, over all alarm lines.", _curves),
        ("recall_by_kind", "Anomalies caught at equal false alarms, by kind (number).", _kinds),
        (
            "skill",
            "Forecast error against persistence's: right of 0 is better than repeating the last "
            "value.",
            _skill,
        ),
        ("pit", "Where values fell in their forecast distribution: flat is calibrated.", _pit),
        (
            "advantage",
            "How much likelier values are to the challenger than to the champion: blocks of the "
            "learnt span by time, "
            "and the held-out span (line). The line high above all bars would mean that it knew "
            "the held-out span.",
            _advantage,
        ),
    ]
    return [_figure(told, caption, draw) for name, caption, draw in drawn if told.get(name)]


def _figure(
    told: Mapping[str, Any], caption: str, draw: Callable[[Any, Mapping[str, Any]], None]
) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    text = io.StringIO()
    # A fixed salt and no date, so that the same verdict gives the same page.
    with rc_context({"svg.hashsalt": "gate", "font.size": 9}):
        figure = Figure(figsize=(4.6, 2.9), layout="constrained")
        axes = figure.subplots()
        draw(axes, told)
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    drawn = svg[svg.index("<svg") :]
    return f"<figure>{drawn}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _curves(axes: Any, told: Mapping[str, Any]) -> None:
    for points, name, colour in zip(
        told["curves"], ("champion", "challenger"), (CHAMPION, CHALLENGER), strict=True
    ):
        axes.step(*zip(*points, strict=True), where="post", label=name, color=colour)
    axes.set(xlabel="false alarms in 1,000 rows", ylabel="anomalies caught", ylim=(0, 1.02))
    axes.legend(frameon=False)


def _kinds(axes: Any, told: Mapping[str, Any]) -> None:
    kinds = told["recall_by_kind"]
    at = range(len(kinds))
    for index, (name, colour) in enumerate((("champion", CHAMPION), ("challenger", CHALLENGER))):
        axes.barh(
            [y + 0.4 * index for y in at],
            [k[index] for k in kinds.values()],
            0.38,
            label=name,
            color=colour,
        )
    axes.set_yticks([y + 0.2 for y in at], [f"{name} ({k[2]})" for name, k in kinds.items()])
    axes.set(xlabel="share caught", xlim=(0, 1.02))
    axes.invert_yaxis()


def _skill(axes: Any, told: Mapping[str, Any]) -> None:
    names = list(told["skill"])
    colours = [
        {"champion": CHAMPION, "challenger": CHALLENGER}.get(name, "#b9c4cd") for name in names
    ]
    axes.barh(names, list(told["skill"].values()), color=colours)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.set(xlabel="1 - error / error of persistence")


def _pit(axes: Any, told: Mapping[str, Any]) -> None:
    for name, style in (("value_pit", "-"), ("gap_pit", ":")):
        for shares, who, colour in zip(
            told["pit"][name], ("champion", "challenger"), (CHAMPION, CHALLENGER), strict=True
        ):
            axes.stairs(shares, label=f"{who}, {name[:-4]}s", color=colour, linestyle=style)
    axes.axhline(1 / len(told["pit"]["value_pit"][0]), color="black", linewidth=0.6)
    axes.set(xlabel="quantile, in twentieths", ylabel="share of rows", ylim=(0, None))
    axes.legend(frameon=False, fontsize=7)


def _advantage(axes: Any, told: Mapping[str, Any]) -> None:
    learnt = told["advantage"]["learnt"]
    axes.bar(range(len(learnt)), learnt, color="#b9c4cd", label="learnt")
    axes.axhline(told["advantage"]["held"], color=CHALLENGER, label="held out")
    axes.set(xlabel="block of the learnt span", ylabel="nats per value")
    axes.legend(frameon=False)
