"""The words of a report: verdicts, sentences, and how figures and names are written."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup

from evaluation.report_content import DataFacts, Differences, Interval, ReportContent, TextTuning

Standing = Literal["ahead", "open", "behind", "unmeasured"]

OURS = "crossaisle"
METRIC = "ndcg@20"
NAMES = {OURS: "CrossAisle", "lightgbm": "LightGBM", "ease": "EASE", "als": "ALS", "all": "total"}
NAMES |= {"user_knn": "user kNN", "user_cf": "user CF", "bpr": "BPR"}
METRICS = {"ndcg": "NDCG", "mrr": "MRR"}
_NOT_TEXT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


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
    known = {name: found[metric] for name, found in difference.items() if is_measured(found.get(metric))}
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
        told = "; ".join(f"{named(name)} by {gap(known[name], metric, -1)}" for name in behind)
        also = f" It is not shown to be ahead of {_listed(unsure)}." if unsure else ""
        return "behind", f"behind {told}.{also}{rest}"
    if unsure:
        told = "; ".join(f"{named(name)}: {gap(known[name], metric)}" for name in unsure)
        return "open", f"not shown to be ahead of {told}.{rest}"
    told = f"{named(order[0])}: {gap(known[order[0]], metric)}"
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


def gap(interval: Interval, metric: str, sign: int = 1) -> str:
    """A difference with its interval; seen from the baseline, and so without a plus, for sign −1."""
    ends = [sign * interval[end] for end in ("mean", *(("low", "high")[::sign]))]
    mean, low, high = map(signed if sign > 0 else decimal, ends)
    return f"{mean} {metric_name(metric)} (95% interval {low} to {high})"


def is_measured(interval: Interval | None) -> bool:
    """Whether a difference has an interval."""
    return interval is not None and all(math.isfinite(interval[end]) for end in ("mean", "low", "high"))


def _listed(names: Sequence[str]) -> str:
    told = [named(name) for name in names]
    return " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)


def clean(value: Any) -> Any:  # noqa: ANN401
    """Replace what neither HTML nor XML may hold: control characters and lone surrogates."""
    return _NOT_TEXT.sub("\ufffd", value) if isinstance(value, str) and not isinstance(value, Markup) else value
