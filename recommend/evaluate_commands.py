"""``crossaisle evaluate`` as a plain function: a run in; a table or a file of what its lists are worth out."""

from __future__ import annotations

import pandas as pd
from jsonargparse import Namespace

from kg.config import StoreConfig
from recommend.commands import CATEGORY, check_format, emphasis_of, show_rows, tell_problems
from recommend.recommender import Recommender


def evaluate(given: Namespace) -> pd.DataFrame:
    """Measure lists against what was bought.

    Args:
        given: the options of `recommend.evaluate_options`, and ``store``.

    Raises:
        InputError: an option, a file or the run is wrong, or there is nothing to measure with.
    """
    check_format(given.out)
    emphasis = emphasis_of(given)
    recommender = Recommender.load(given.run, None if given.store == StoreConfig() else given.store)
    level = recommender.dataset.catalogue.interest_level if given.level == CATEGORY else given.level
    found = recommender.evaluate(
        [level] if level else None,
        given.purchases,
        given.k,
        diversity=given.diversity,
        by=given.reranker,
        emphasis=emphasis,
    )
    tell_problems(recommender.problems, given.out)
    show_rows(found, given.out, "evaluation", f"lists of {given.k}, mean over users, 95% intervals by user")
    return found
