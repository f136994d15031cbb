"""What can be set about the data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass
class SyntheticConfig:
    """A made-up shop of any size with a planted structure (source ``synthetic``).

    Attributes:
        products: number of products; default 2000.
        users: number of users; default 1000.
        departments: number of nodes at the top level; default 6.
        categories: number of nodes at the interest level; default 48.
        types_per_category: number of types in each category; default 5.
        segments: number of latent groups of users with a taste in common; default 6.
        liked_share: share of the categories that a segment likes; default 0.2.
        liking: how many times likelier a liked category is than another equally popular one; default 6.
        start_categories: categories that a user buys from in the beginning; default 6.
        later_categories: further categories that a user begins with later, by taste; default 3.
        complement_share: share of the users of a category that later begin with its complement; default 0.4.
        complement_lag: periods between a category and its complement at the earliest; default 3.
        baskets_per_user: mean number of baskets of a user; default 20.
        lines_per_basket: mean number of lines of a basket, at least 1; default 4.
        periods: number of periods, which are 0 … periods − 1; default 40.
        stores: number of stores; default 5.
        brands: number of brands; default 30.
        chunk: users or products made at a time; default 5000.
        seed: equal seeds give equal data; default 0.
    """

    products: int = 2000
    users: int = 1000
    departments: int = 6
    categories: int = 48
    types_per_category: int = 5
    segments: int = 6
    liked_share: float = 0.2
    liking: float = 6.0
    start_categories: int = 6
    later_categories: int = 3
    complement_share: float = 0.4
    complement_lag: int = 3
    baskets_per_user: float = 20.0
    lines_per_basket: float = 4.0
    periods: int = 40
    stores: int = 5
    brands: int = 30
    chunk: int = 5000
    seed: int = 0


@dataclass
class DataConfig:
    """Where the purchases come from.

    Attributes:
        source: built-in real data (complete_journey), your own files (tabular) or made-up data (synthetic);
            default complete_journey.
        interest_level: taxonomy level whose nodes are recommended; default empty: the source's own choice.
        mapping: YAML file that says what your files' columns mean, for source tabular; default none.
        root: folder of the files that the mapping names; default none: the mapping's own root or folder.
        max_users: keep a seeded sample of at most so many users, with all products; default none: keep all.
        max_products: keep at most so many products, those with the most lines; default none: keep all.
        seed: seed of that sample; default 0.
        withhold: share of the nodes under the interest level (where there are none, of the products) whose
            interactions are left out everywhere, to measure how well what was never sold is ranked; default 0.
        withhold_seed: seed of that choice; default 0.
        synthetic: size and structure of the made-up data, for source synthetic.
    """

    source: Literal["complete_journey", "tabular", "synthetic"] = "complete_journey"
    interest_level: str = ""
    mapping: Path | None = None
    root: Path | None = None
    max_users: int | None = None
    max_products: int | None = None
    seed: int = 0
    withhold: float = 0.0
    withhold_seed: int = 0
    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)
