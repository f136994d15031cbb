"""``crossaisle bundle`` as a plain function: a run and products in; a table or a file out."""

from __future__ import annotations

import pandas as pd
from jsonargparse import Namespace

from kg.config import StoreConfig
from recommend.bundles import BundleWish, beginnings
from recommend.commands import check_format, filters_of, show_rows, tell_problems
from recommend.recommender import Recommender


def bundle(given: Namespace) -> pd.DataFrame:
    """Build bundles: as a table in the terminal, or as a file.

    Args:
        given: the options of `recommend.bundle_options`, and ``store``.

    Raises:
        InputError: an option, a file or the run is wrong, or no bundle can be built.
    """
    check_format(given.out)
    basket = [name.strip() for name in given.basket.split(",") if name.strip()] or None
    anchors = given.anchor or None
    beginnings(anchors, basket)
    wanted = filters_of(given)
    wish = BundleWish(given.size, given.budget, given.per, given.variety, given.popularity, given.season)
    recommender = Recommender.load(given.run, None if given.store == StoreConfig() else given.store)
    found = recommender.bundle(
        anchors,
        basket,
        wish.size,
        wish.budget,
        per=wish.per,
        variety=wish.variety,
        popularity=wish.popularity,
        season=wish.season,
        filters=wanted,
    )
    tell_problems(recommender.problems, given.out)
    show_rows(found, given.out, "bundles", told(found))
    return found


def told(found: pd.DataFrame) -> str:
    """How many bundles there are, and what they cost."""
    cost = found.groupby("bundle", sort=False)["price"].sum(min_count=1)
    if cost.isna().all():
        return f"{len(cost):,} bundle{'s' * (len(cost) > 1)}, prices unknown"
    return f"{len(cost):,} bundle{'s' * (len(cost) > 1)}, for " + ", ".join(f"{value:.2f}" for value in cost.head(5))
