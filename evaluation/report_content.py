"""What a report is made from; every part is optional."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from evaluation.evaluate import Figures

Interval = Mapping[str, float]
Differences = Mapping[str, Mapping[str, Interval]]
Groups = Mapping[str, Mapping[str, Figures]]


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
