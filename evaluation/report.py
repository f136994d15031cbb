"""One self-contained page that tells a person what a run found: `write_report`.

Every part of the content is optional; what is missing is said in one line. Numbers come in as `evaluate.results`,
`by_activity`, `by_popularity` and `by_distance` give them, so the page computes nothing but its words.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
from jinja2 import Environment as Templates
from jinja2 import FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation.evaluate import Figures
from files import atomic

Standing = Literal["ahead", "open", "behind", "unmeasured"]
Interval = Mapping[str, float]
Differences = Mapping[str, Mapping[str, Interval]]
Groups = Mapping[str, Mapping[str, Figures]]
Paint = Callable[[Figure], None]

OURS = "crossaisle"
METRIC = "ndcg@20"
ACCURACY = ("ndcg@20", "recall@20", "ndcg@10", "recall@10", "hit_rate@20", "hit_rate@10", "mrr@20", "mrr@10")
NAMES = {OURS: "CrossAisle", "lightgbm": "LightGBM", "ease": "EASE", "als": "ALS", "all": "total"}
NAMES |= {"user_knn": "user kNN", "user_cf": "user CF", "bpr": "BPR"}
METRICS = {"ndcg": "NDCG", "mrr": "MRR"}
COLOURS = {"ink": "#1b1f24", "muted": "#59636e", "line": "#d8dee4", "ours": "#0b62b0", "rival": "#c24e00"}
COLOURS |= {"other": "#8b949e", "paper": "#ffffff"}
CHART_WIDTH = 360
POINTS_PER_CURVE = 120
_NOT_TEXT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class DataFacts:
    """What the run was done on.

    Attributes:
        users: in the whole data.
        products: in the whole data.
        interactions: in the whole data.
        categories: nodes of the interest level.
        test_cutoff: first period of the test targets.
        validation_cutoff: first period of the validation targets; every choice is made on them.
        horizon: periods in which targets are looked for.
        period: what a period is, such as "week".
        interest: name of the interest level.
        test_users: users with a target after the test cut-off, by level.
        rejected: rows that were left out, by reason; empty: none were, None: not counted.
        last_period: with a purchase in the data; None: not told.
    """

    users: int
    products: int
    interactions: int
    categories: int
    test_cutoff: int
    validation_cutoff: int
    horizon: int
    period: str = "week"
    interest: str = "category"
    test_users: Mapping[str, int] = field(default_factory=dict)
    rejected: Mapping[str, int] | None = None
    last_period: int | None = None


@dataclass(frozen=True)
class LossPoint:
    """The losses of one step or epoch.

    Attributes:
        phase: of the training, such as "choose", "tune text", "refit".
        step: rises within a phase.
        parts: loss by part, such as {"all": 4.1, "category": 3.2}.
    """

    phase: str
    step: int
    parts: Mapping[str, float]


@dataclass(frozen=True)
class ValidationPoint:
    """What one epoch is worth on the validation cut-off.

    Attributes:
        phase: of the training.
        epoch: within the phase.
        value: NDCG@20; None where it was not measured.
        chosen: the model of this epoch was kept.
    """

    phase: str
    epoch: int
    value: float | None
    chosen: bool = False


@dataclass(frozen=True)
class TextTuning:
    """What became of the language model's fine-tuning.

    Attributes:
        strategy: "frozen", "lora", "top" or "full".
        frozen: validation NDCG@20 with the frozen language model.
        tuned: validation NDCG@20 with the tuned one; None where none was tuned.
        kept: the tuned weights are part of the model.
        model: name of the language model.
    """

    strategy: str
    frozen: float | None = None
    tuned: float | None = None
    kept: bool = False
    model: str = ""


@dataclass(frozen=True)
class Weight:
    """Attention on one modality: mean and standard deviation over the nodes."""

    mean: float
    spread: float = 0.0


@dataclass(frozen=True)
class Recommendation:
    """One line of a customer's list.

    Attributes:
        name: of the category, type or product.
        hit: the customer did buy it in the target periods.
        detail: a few words beside it, such as the likeliest product.
    """

    name: str
    hit: bool
    detail: str = ""


@dataclass(frozen=True)
class Customer:
    """One customer, told as an example.

    Attributes:
        name: id, or a few words such as "Household 718: 31 baskets".
        bought: most bought categories before the cut-off with the number of purchases, most first.
        recommended: top recommendations, best first.
        new: what the customer really bought newly in the target periods.
        note: why this customer was taken.
    """

    name: str
    bought: Sequence[tuple[str, int]] = ()
    recommended: Sequence[Recommendation] = ()
    new: Sequence[str] = ()
    note: str = ""


@dataclass(frozen=True)
class Cost:
    """What one step took.

    Attributes:
        step: its name.
        seconds: wall time.
        peak_bytes: highest memory of the program and its child processes during the step; None: not measured.
    """

    step: str
    seconds: float
    peak_bytes: float | None = None


@dataclass(frozen=True)
class Surroundings:
    """What the run was done with.

    Attributes:
        versions: by package.
        device: such as "cpu (2 threads)".
        seed: of everything.
        fingerprint: of the data.
        git_revision: of the code; empty where there is none.
        initial: run that the training started from, and its fingerprint; empty where it started from scratch.
        command: reproduces the run from its folder.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    device: str = ""
    seed: int | None = None
    fingerprint: str = ""
    git_revision: str = ""
    initial: str = ""
    command: str = "python train.py --config config.yaml"


@dataclass(frozen=True)
class ReportContent:
    """All that a report tells; what is empty is said to be left out.

    Attributes:
        run: name of the run.
        source: name of the data.
        created: when.
        question: what was predicted, in one sentence; empty: made from the facts.
        facts: about data and protocol.
        test: {LEVEL: {MODEL: {METRIC: value}}}, as in metrics.json.
        difference: {LEVEL: {BASELINE: {METRIC: {"mean", "low", "high"}}}}, as in metrics.json.
        losses: in order of time.
        validation: in order of time.
        text: fine-tuning of the language model.
        activity: {LEVEL: {MODEL: `by_activity`}}.
        popularity: {LEVEL: {MODEL: `by_popularity`}}.
        distance: {LEVEL: {MODEL: `by_distance`}}.
        attention: {node label or level: {modality: weight}}.
        customers: examples.
        costs: of the steps, in order of time.
        surroundings: versions and what else reproduces the run.
    """

    run: str
    source: str = ""
    created: datetime | None = None
    question: str = ""
    facts: DataFacts | None = None
    test: Mapping[str, Mapping[str, Figures]] = field(default_factory=dict)
    difference: Mapping[str, Differences] = field(default_factory=dict)
    losses: Sequence[LossPoint] = ()
    validation: Sequence[ValidationPoint] = ()
    text: TextTuning | None = None
    activity: Mapping[str, Groups] = field(default_factory=dict)
    popularity: Mapping[str, Groups] = field(default_factory=dict)
    distance: Mapping[str, Groups] = field(default_factory=dict)
    attention: Mapping[str, Mapping[str, Weight]] = field(default_factory=dict)
    customers: Sequence[Customer] = ()
    costs: Sequence[Cost] = ()
    surroundings: Surroundings | None = None


@dataclass(frozen=True)
class Verdict:
    """What the numbers of one level allow to say.

    Attributes:
        level: its name.
        standing: "ahead" of every baseline, "behind" at least one, "open" otherwise, "unmeasured" without intervals.
        sentence: the same in words, with the numbers.
    """

    level: str
    standing: Standing
    sentence: str


@dataclass(frozen=True)
class Row:
    """One line of a table: cells, and the columns whose cell is the best."""

    name: str
    cells: Sequence[float | None]
    best: frozenset[int] = frozenset()
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """A drawing and the words below it."""

    svg: Markup
    caption: str


# Words -----------------------------------------------------------------------------------------------------


def write_report(content: ReportContent, path: Path) -> None:
    """Write one HTML file that needs nothing else; it is there whole or not at all.

    Args:
        content: what it tells.
        path: file to write or replace; its folder exists.
    """
    page = render(content).encode("utf-8")
    with atomic(path) as temporary:
        temporary.write_bytes(page)


def render(content: ReportContent) -> str:
    """The page of a report."""
    templates = Templates(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_clean,
    )
    templates.filters |= {
        "decimal": decimal,
        "signed": signed,
        "whole": whole,
        "duration": duration,
        "memory": memory,
        "named": named,
        "metric": metric_name,
        "many": many,
    }
    return templates.get_template("report.html").render(
        content=content,
        question=content.question or question(content.facts),
        verdicts=verdicts(content),
        levels=[level_table(level, content) for level in content.test],
        charts=charts(content),
        ours=OURS,
        activity=_group_tables(content.activity),
        popularity=_group_tables(content.popularity),
        distance=_group_tables(content.distance),
        tuning=tuning_sentence(content.text),
        shares=cost_shares(content.costs),
        peak=max((cost.peak_bytes for cost in content.costs if cost.peak_bytes is not None), default=None),
    )


def question(facts: DataFacts | None) -> str:
    """What was predicted, in a sentence; empty without facts."""
    if facts is None:
        return ""
    before = f"{facts.period} {facts.test_cutoff}"
    window = _window(facts, facts.test_cutoff)
    what = many(facts.interest)
    return f"Which {what} that a customer has not bought from before {before} do they buy from in {window}?"


def verdicts(content: ReportContent) -> list[Verdict]:
    """One verdict for each level that was measured."""
    levels = dict.fromkeys([*content.test, *content.difference])
    return [verdict(level, content.difference.get(level, {}), content.test.get(level, ())) for level in levels]


def verdict(level: str, difference: Differences, models: Iterable[str] = (), metric: str = METRIC) -> Verdict:
    """Say how the model stands against the baselines of a level, as far as the 95% intervals allow.

    Ahead needs the whole interval above 0, behind the whole interval below 0. A baseline without an interval is named.

    Args:
        level: its name.
        difference: model − baseline, {BASELINE: {METRIC: {"mean", "low", "high"}}}.
        models: all that were measured at the level.
        metric: the one to judge by.
    """
    known = {name: found[metric] for name, found in difference.items() if _is_measured(found.get(metric))}
    place = f"At the {named(level)} level {NAMES[OURS]}"
    if not known:
        return Verdict(level, "unmeasured", f"{place} was not compared with a baseline by an interval.")
    others = [name for name in dict.fromkeys([*difference, *models]) if name != OURS and name not in known]
    left = f" Not compared by an interval: {_listed(others)}." if others else ""
    standing, sentence = _compared(known, metric, complete=not others)
    return Verdict(level, standing, f"{place} is {sentence}{left}")


def _compared(known: Mapping[str, Interval], metric: str, *, complete: bool) -> tuple[Standing, str]:
    order = sorted(known, key=lambda name: known[name]["mean"])
    behind = [name for name in order if known[name]["high"] < 0]
    ahead = [name for name in order if known[name]["low"] > 0]
    unsure = [name for name in order if name not in behind and name not in ahead]
    rest = f" It is ahead of {_listed(ahead)}." if ahead else ""
    if behind:
        told = "; ".join(f"{named(name)} by {_gap(known[name], metric, -1)}" for name in behind)
        also = f" It is not shown to be ahead of {_listed(unsure)}." if unsure else ""
        return "behind", f"behind {told}.{also}{rest}"
    if unsure:
        told = "; ".join(f"{named(name)}: {_gap(known[name], metric)}" for name in unsure)
        return "open", f"not shown to be ahead of {told}.{rest}"
    told = f"{named(order[0])}: {_gap(known[order[0]], metric)}"
    if len(order) == 1:
        return "ahead", f"ahead of {told}."
    return "ahead", f"ahead of every {'' if complete else 'compared '}baseline; the closest is {told}."


def tuning_sentence(text: TextTuning | None) -> str:
    """What became of the language model's fine-tuning; empty when nothing is known."""
    if text is None:
        return ""
    if text.strategy == "frozen":
        return "The language model was used as it is (frozen): no fine-tuning was asked for."
    if text.frozen is None or text.tuned is None:
        end = "and the result was kept" if text.kept else "but not kept"
        return f"The language model was fine-tuned ({text.strategy}), {end}; validation was not measured."
    scores = f"validation NDCG@20 {decimal(text.tuned)} tuned against {decimal(text.frozen)} frozen"
    change = f"{scores}, {signed(text.tuned - text.frozen)}"
    if text.kept:
        return f"The fine-tuned weights ({text.strategy}) were kept: {change}."
    return f"The fine-tuned weights ({text.strategy}) were dropped and the frozen model was used: {change}."


def decimal(value: float | None, digits: int = 4) -> str:
    """A figure such as .3055; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    shown = f"{value:.{digits}f}".replace("-", "−")
    return shown.replace("0.", ".", 1) if abs(value) < 1 else shown


def signed(value: float | None) -> str:
    """A difference such as +.0074 or −.0012."""
    if value is None or not math.isfinite(value):
        return "–"
    return ("+" if value >= 0 else "−") + decimal(abs(value))


def whole(value: float | None) -> str:
    """A count such as 92,331."""
    return "–" if value is None or not math.isfinite(value) else f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """A time such as 0.4 s, 38 s or 7 min 05 s."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def memory(size: float | None) -> str:
    """A size such as 2.41 GiB."""
    return "–" if size is None or not math.isfinite(size) else f"{size / 2**30:.2f} GiB"


def named(name: str) -> str:
    """How the page calls a model, a level or a part."""
    return NAMES.get(name, name.replace("_", " "))


def metric_name(metric: str) -> str:
    """How the page calls a metric, such as NDCG@20."""
    kind, at, k = metric.partition("@")
    return METRICS.get(kind, kind.replace("_", " ").capitalize()) + at + k


def many(noun: str) -> str:
    """The plural of a regular noun."""
    return noun[:-1] + "ies" if re.search("[^aeiou]y$", noun) else noun + "s"


def _window(facts: DataFacts, cutoff: int) -> str:
    last = cutoff + facts.horizon - 1
    return f"{many(facts.period)} {cutoff}–{last}" if last > cutoff else f"{facts.period} {cutoff}"


def _gap(interval: Interval, metric: str, sign: int = 1) -> str:
    """A difference with its interval; seen from the baseline, and so without a plus, for sign −1."""
    ends = [sign * interval[end] for end in ("mean", *(("low", "high")[::sign]))]
    mean, low, high = map(signed if sign > 0 else decimal, ends)
    return f"{mean} {metric_name(metric)} (95% interval {low} to {high})"


def _is_measured(interval: Interval | None) -> bool:
    return interval is not None and all(math.isfinite(interval[end]) for end in ("mean", "low", "high"))


def _listed(names: Sequence[str]) -> str:
    told = [named(name) for name in names]
    return " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)


def _clean(value: Any) -> Any:  # noqa: ANN401
    """Replace what neither HTML nor XML may hold: control characters and lone surrogates."""
    return _NOT_TEXT.sub("\ufffd", value) if isinstance(value, str) and not isinstance(value, Markup) else value


# Tables ----------------------------------------------------------------------------------------------------


def level_table(level: str, content: ReportContent) -> dict[str, Any]:
    """Name, columns and rows of a level's results: the model first, then baselines from the best on."""
    models, difference = content.test[level], content.difference.get(level, {})
    columns = _columns(models.values())
    order = _ranked(models)
    cells = [[models[name].get(column) for column in columns] for name in order]
    best = _best_of_columns(cells, [column in ACCURACY for column in columns])
    rows = [Row(name, values, marks) for name, values, marks in zip(order, cells, best, strict=True)]
    gaps = {name: found[METRIC] for name, found in difference.items() if _is_measured(found.get(METRIC))}
    users = content.facts.test_users.get(level) if content.facts else None
    return {"name": level, "columns": columns, "rows": rows, "gaps": gaps, "users": users}


def group_table(groups: Groups) -> dict[str, Any]:
    """Columns (models) and rows (buckets) of NDCG@20 by group."""
    models = _ranked({name: {METRIC: _mean(found.values())} for name, found in groups.items()})
    labels = list(dict.fromkeys(label for name in models for label in groups[name]))
    cells = [[groups[name].get(label, {}).get(METRIC) for name in models] for label in labels]
    columns = _best_of_columns([list(column) for column in zip(*cells, strict=True)], [True] * len(labels))
    best = [frozenset(at for at, marks in enumerate(columns) if row in marks) for row in range(len(labels))]
    notes = [_sizes(next(groups[name][label] for name in models if label in groups[name])) for label in labels]
    rows = [Row(*row) for row in zip(labels, cells, best, notes, strict=True)]
    return {"models": models, "rows": rows}


def cost_shares(costs: Sequence[Cost]) -> list[float]:
    """Each step's share of the wall time, in percent."""
    total = sum(cost.seconds for cost in costs)
    return [100 * cost.seconds / total if total else 0.0 for cost in costs]


def _group_tables(levels: Mapping[str, Groups]) -> dict[str, dict[str, Any]]:
    return {level: group_table(groups) for level, groups in levels.items() if any(groups.values())}


def _columns(models: Iterable[Figures]) -> list[str]:
    found = dict.fromkeys(column for figures in models for column in figures)
    return [column for column in ACCURACY if column in found] + [column for column in found if column not in ACCURACY]


def _ranked(models: Mapping[str, Figures]) -> list[str]:
    """Ours first, the others by falling NDCG@20."""
    return sorted(models, key=lambda name: (name != OURS, -(models[name].get(METRIC) or 0.0)))


def _best_of_columns(cells: Sequence[Sequence[float | None]], judged: Sequence[bool]) -> list[frozenset[int]]:
    """For each row the columns in which it is the best, equals as shown included; no contest, no best."""
    best: list[set[int]] = [set() for _ in cells]
    for at, counts in enumerate(judged):
        shown = {row: round(value, 4) for row, values in enumerate(cells) if (value := values[at]) is not None}
        top = max(shown.values(), default=0.0)
        winners = [row for row, value in shown.items() if value == top]
        if counts and len(winners) < len(shown):
            for row in winners:
                best[row].add(at)
    return [frozenset(columns) for columns in best]


def _mean(groups: Iterable[Figures]) -> float:
    values = [value for figures in groups if (value := figures.get(METRIC)) is not None]
    return float(np.mean(values)) if values else 0.0


def _sizes(figures: Figures) -> str:
    kinds = {"items": "items", "targets": "targets", "users": "customers"}
    return ", ".join(f"{whole(figures[kind])} {word}" for kind, word in kinds.items() if kind in figures)


# Drawings --------------------------------------------------------------------------------------------------


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
    known = {name: found[METRIC] for name, found in difference.items() if _is_measured(found.get(METRIC))}
    order = sorted(known, key=lambda name: known[name]["mean"], reverse=True)
    told = "; ".join(f"{named(name)} {_gap(known[name], METRIC)}" for name in order)
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
    root.attrib = {"viewBox": sizes, "role": "img", "aria-label": _clean(alt), "stroke-linejoin": "round"}
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
    text: str = _clean(named(name))
    return text if len(text) <= 22 else text[:21] + "…"
