"""The drawings of a report, as SVG inside the page."""

from __future__ import annotations

import hashlib
import io
import math
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation.report_content import (
    Differences,
    Groups,
    Interval,
    LossPoint,
    ReportContent,
    ValidationPoint,
    Weight,
)
from evaluation.report_tables import group_table
from evaluation.report_words import METRIC, OURS, clean, decimal, gap, is_measured, named

Paint = Callable[[Figure], None]

COLOURS = {"ink": "#1b1f24", "muted": "#59636e", "line": "#d8dee4", "ours": "#0b62b0", "rival": "#c24e00"}
COLOURS |= {"other": "#8b949e", "paper": "#ffffff"}
CHART_WIDTH = 360
POINTS_PER_CURVE = 120


@dataclass(frozen=True)
class Chart:
    """A drawing and the words below it."""

    svg: Markup
    caption: str


def charts(content: ReportContent) -> dict[str, list[Chart]]:
    """All drawings, by the section that they stand in."""
    return {
        "results": [forest_chart(level, found) for level, found in content.difference.items() if found],
        "losses": loss_charts(content.losses),
        "validation": validation_charts(content.validation),
        "activity": [group_chart(level, groups) for level, groups in content.activity.items() if any(groups.values())],
        "popularity": [group_chart(level, by) for level, by in content.popularity.items() if any(by.values())],
        "distance": [group_chart(level, by) for level, by in content.distance.items() if any(by.values())],
        "attention": [attention_chart(label, weights) for label, weights in content.attention.items() if weights],
    }


def forest_chart(level: str, difference: Differences) -> Chart:
    """Differences to the baselines with their intervals; hollow where the interval touches 0."""
    known = {name: found[METRIC] for name, found in difference.items() if is_measured(found.get(METRIC))}
    order = sorted(known, key=lambda name: known[name]["mean"], reverse=True)
    told = "; ".join(f"{named(name)} {gap(known[name], METRIC)}" for name in order)
    svg = draw(partial(_paint_forest, known, order), 56 + 26 * len(order), f"CrossAisle minus each baseline: {told}.")
    return Chart(svg, f"{named(level).capitalize()} level: NDCG@20 of CrossAisle minus each baseline")


def loss_charts(losses: Sequence[LossPoint]) -> list[Chart]:
    """One drawing for each part of the loss, phases one after the other."""
    parts = dict.fromkeys(part for point in losses for part in point.parts)
    found = []
    for part in parts:
        points = [(point.phase, point.step, point.parts[part]) for point in losses if part in point.parts]
        points = [point for point in points if math.isfinite(point[2])]
        if points:
            alt = f"{named(part)} loss from {points[0][2]:.3f} at the first to {points[-1][2]:.3f} at the last step."
            found.append(Chart(draw(partial(_paint_loss, points), 170, alt), f"Loss: {named(part)}, by step"))
    return found


def validation_charts(validation: Sequence[ValidationPoint]) -> list[Chart]:
    """NDCG@20 on validation by epoch, with the chosen epoch ringed; no drawing without a value."""
    points = [point for point in validation if point.value is not None]
    if not points:
        return []
    told = (f"{p.phase} {p.epoch}: {decimal(p.value)}{' (chosen)' if p.chosen else ''}" for p in points)
    svg = draw(partial(_paint_validation, points), 210, f"Validation NDCG@20 by epoch. {'; '.join(told)}.")
    return [Chart(svg, "NDCG@20 on validation, by epoch; the chosen epoch is ringed")]


def group_chart(level: str, groups: Groups) -> Chart:
    """The model, the strongest baseline and the other baselines over the groups."""
    table = group_table(groups)
    ours = [f"{row.name}: {decimal(row.cells[0])}" for row in table["rows"]]
    alt = f"NDCG@20 of {named(table['models'][0])} by group: {'; '.join(ours)}. All models in the table."
    return Chart(draw(partial(_paint_groups, table), 230, alt), f"{named(level).capitalize()} level: NDCG@20 by group")


def attention_chart(label: str, weights: Mapping[str, Weight]) -> Chart:
    """Mean attention by modality, with one standard deviation to either side."""
    told = "; ".join(f"{named(name)} {weight.mean:.2f} ± {weight.spread:.2f}" for name, weight in weights.items())
    svg = draw(partial(_paint_attention, weights), 44 + 28 * len(weights), f"Mean attention at {label}: {told}.")
    return Chart(svg, f"{label}: mean weight by modality; the line is one standard deviation to either side")


def draw(paint: Paint, height: int, alt: str) -> Markup:
    """Paint a figure and return it as SVG for use inside HTML: the page's colours and fonts, no ids that collide."""
    buffer = io.StringIO()
    with mpl.rc_context(drawing_style()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(CHART_WIDTH / 72, height / 72), layout="constrained")
        paint(figure)
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _inline(buffer.getvalue(), alt)


def drawing_style() -> Any:  # noqa: ANN401 - matplotlib's type for it changes between versions
    """Matplotlib's settings for all drawings."""
    ink, muted, line = COLOURS["ink"], COLOURS["muted"], COLOURS["line"]
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": "crossaisle",
        "text.parse_math": False,
        "font.sans-serif": ["DejaVu Sans"],
        "font.family": ["sans-serif"],
        "font.size": 11,
        "axes.labelsize": 11,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.edgecolor": line,
        "axes.labelcolor": muted,
        "text.color": ink,
        "xtick.color": muted,
        "ytick.color": muted,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "axes.grid": True,
        "grid.color": line,
        "axes.grid.axis": "y",
        "grid.linewidth": 0.8,
        "axes.axisbelow": True,
        "legend.frameon": False,
        "legend.fontsize": 11,
        "legend.labelcolor": ink,
    }


def _inline(svg: str, alt: str) -> Markup:
    root = ET.fromstring(svg)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
    for drop in [*root.findall("metadata"), *(d for d in root.findall("defs") if d.find("style") is not None)]:
        root.remove(drop)
    asked = set(re.findall(r"#([\w.-]+)", " ".join(v for e in root.iter() for v in e.attrib.values())))
    used = asked & {element.attrib.get("id", "") for element in root.iter()}
    for element in root.iter():
        if element.attrib.get("id") not in used:
            element.attrib.pop("id", None)
    sizes = root.attrib["viewBox"]
    root.attrib = {"viewBox": sizes, "role": "img", "aria-label": clean(alt), "stroke-linejoin": "round"}
    return Markup(_themed(ET.tostring(root, encoding="unicode"), used))


def _themed(svg: str, ids: Iterable[str]) -> str:
    """Take colours and fonts from the page, and make the ids this drawing's own."""
    mark = hashlib.sha256(svg.encode()).hexdigest()[:8]
    for name in ids:
        svg = svg.replace(f'"{name}"', f'"{name}-{mark}"').replace(f"#{name}", f"#{name}-{mark}")
    for name, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    svg = re.sub(r"\s+\n|\n\s*", " ", svg)
    return svg.replace("'DejaVu Sans', sans-serif", "var(--sans)")


def _paint_forest(known: Mapping[str, Interval], order: Sequence[str], figure: Figure) -> None:
    axes = figure.subplots()
    axes.grid(visible=False, axis="y")
    axes.axvline(0, color=COLOURS["muted"], linewidth=1)
    for at, name in enumerate(order):
        gap = known[name]
        colour, fill = _forest_mark(gap)
        axes.plot([gap["low"], gap["high"]], [at, at], color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot(gap["mean"], at, "o", color=colour, markerfacecolor=fill, markersize=7)
    axes.set_yticks(range(len(order)), [_label(name) for name in order])
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter(lambda value, _: _tick(value, plus=True))
    axes.set_xlabel("← baseline better · CrossAisle better →")


def _forest_mark(gap: Interval) -> tuple[str, str]:
    """Colour of the line and fill of the point."""
    if gap["low"] > 0:
        return COLOURS["ours"], COLOURS["ours"]
    return (COLOURS["rival"], COLOURS["rival"]) if gap["high"] < 0 else (COLOURS["muted"], "none")


def _paint_loss(points: Sequence[tuple[str, int, float]], figure: Figure) -> None:
    axes = figure.subplots()
    start = 0
    for number, phase in enumerate(dict.fromkeys(point[0] for point in points)):
        steps = np.array([point[1] for point in points if point[0] == phase], dtype=float)
        values = np.array([point[2] for point in points if point[0] == phase], dtype=float)
        steps += start + 1 - steps.min()
        _mark_phase(axes, phase, start, number)
        axes.plot(
            _thin(steps), _thin(values), color=COLOURS["ours"], linewidth=1.5, marker="" if len(steps) > 1 else "."
        )
        start = int(steps.max())
    axes.set_xlim(0, start + 1)
    axes.locator_params(nbins=5)
    axes.margins(y=0.2)


def _paint_validation(points: Sequence[ValidationPoint], figure: Figure) -> None:
    axes = figure.subplots()
    at = 0
    for number, phase in enumerate(dict.fromkeys(point.phase for point in points)):
        mine = [point for point in points if point.phase == phase]
        places = list(range(at, at + len(mine)))
        _mark_phase(axes, phase, at - 0.5, number)
        axes.plot(
            places, [point.value or 0.0 for point in mine], "o-", color=COLOURS["ours"], linewidth=1.5, markersize=4
        )
        for place, point in zip(places, mine, strict=True):
            _mark_chosen(axes, place, point)
        at += len(mine)
    axes.set_xticks(range(at), [str(point.epoch) for point in points])
    axes.set_xlim(-0.5, at - 0.5)
    axes.margins(y=0.25)
    axes.locator_params(axis="y", nbins=5)
    axes.yaxis.set_major_formatter(lambda value, _: _tick(value))
    axes.set_xlabel("epoch")


def _mark_chosen(axes: Axes, place: float, point: ValidationPoint) -> None:
    if point.chosen and point.value is not None:
        axes.plot(place, point.value, "o", color=COLOURS["rival"], markerfacecolor="none", markersize=11)
        words: dict[str, Any] = {"xytext": (0, 9), "textcoords": "offset points", "ha": "center"}
        axes.annotate(decimal(point.value), (place, point.value), **words)


def _mark_phase(axes: Axes, phase: str, start: float, number: int) -> None:
    """A line where a phase begins, with its name; names of short neighbours take turns in height."""
    if number:
        axes.axvline(start, color=COLOURS["other"], linewidth=0.8, linestyle=(0, (2, 3)))
    place: dict[str, Any] = {"xytext": (4, -13 * (number % 2)), "textcoords": "offset points", "va": "top"}
    plate = {"facecolor": COLOURS["paper"], "edgecolor": "none", "pad": 1}
    where = axes.get_xaxis_transform()
    axes.annotate(_label(phase), (start, 1), xycoords=where, color=COLOURS["muted"], bbox=plate, **place)


def _paint_groups(table: Mapping[str, Any], figure: Figure) -> None:
    axes = figure.subplots()
    models: list[str] = table["models"]
    at = range(len(table["rows"]))
    for column in reversed(range(len(models))):
        values = [np.nan if row.cells[column] is None else row.cells[column] for row in table["rows"]]
        axes.plot(at, values, **_group_line(column, models))
    labels = [f"{_label(row.name)}\n{row.note.rpartition(', ')[2]}".replace(" customers", "") for row in table["rows"]]
    axes.set_xticks(at, labels)
    axes.margins(x=0.06)
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="y", nbins=5)
    axes.yaxis.set_major_formatter(lambda value, _: _tick(value))
    axes.set_xlabel("below each group: its customers")
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles[::-1], names[::-1], loc="outside upper left", ncols=3, handlelength=1.6, columnspacing=1.2)


def _group_line(column: int, models: Sequence[str]) -> dict[str, Any]:
    if models[column] == OURS:
        return {"color": COLOURS["ours"], "linewidth": 2.2, "marker": "o", "markersize": 6, "label": _label(OURS)}
    if column == int(models[0] == OURS):
        style = {"linewidth": 1.8, "linestyle": (0, (4, 2)), "marker": "s", "markersize": 5}
        return {"color": COLOURS["rival"], "label": _label(models[column]), **style}
    label = "other baselines" if column == len(models) - 1 else None
    return {"color": COLOURS["other"], "linewidth": 1, "label": label}


def _paint_attention(weights: Mapping[str, Weight], figure: Figure) -> None:
    axes = figure.subplots()
    axes.grid(visible=False, axis="y")
    names = list(weights)
    for at, name in enumerate(names):
        mean, spread = weights[name].mean, weights[name].spread
        axes.barh(at, mean, height=0.55, color=COLOURS["ours"], alpha=0.55)
        axes.plot([max(mean - spread, 0), min(mean + spread, 1)], [at, at], color=COLOURS["ink"], linewidth=1.5)
        axes.text(1.02, at, decimal(mean, 2), va="center", transform=axes.get_yaxis_transform())
    axes.set_yticks(range(len(names)), [_label(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])


def _thin(values: np.ndarray) -> np.ndarray:
    """Means of neighbours, so that a curve has few points."""
    return np.array([part.mean() for part in np.array_split(values, min(len(values), POINTS_PER_CURVE))])


def _tick(value: float, *, plus: bool = False) -> str:
    if abs(value) < 1e-9:
        return "0"
    sign = "−" if value < 0 else "+" if plus else ""
    return sign + f"{abs(value):.6f}".rstrip("0").rstrip(".").removeprefix("0")


def _label(name: str) -> str:
    text: str = clean(named(name))
    return text if len(text) <= 22 else text[:21] + "…"
