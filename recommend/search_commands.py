"""``crossaisle search`` as a plain function: a run and a text in; a table or a file out."""

from __future__ import annotations

import time

import pandas as pd
from jsonargparse import Namespace

from kg.config import StoreConfig
from recommend.commands import check_format, filters_of, show_rows, tell_problems
from recommend.query_commands import folder_of
from recommend.recommender import Recommender
from recommend.search import Blend, checked_queries


def search(given: Namespace) -> pd.DataFrame:
    """Answer a text with products: as a table in the terminal, or as a file.

    Args:
        given: the options of `recommend.search_options.add_options`, and ``store``.

    Raises:
        InputError: an option, a file or the run is wrong, or nothing can be found.
    """
    check_format(given.out)
    queries, wanted = checked_queries(given.query), filters_of(given)
    blend, folder = Blend(given.interest, given.graph, given.own), folder_of(given.queries)
    recommender = Recommender.load(given.run, None if given.store == StoreConfig() else given.store)
    begin = time.perf_counter()
    found = recommender.search(
        queries,
        given.user,
        given.k,
        interest=blend.interest,
        graph=blend.graph,
        own=blend.own,
        filters=wanted,
        diversity=given.diversity,
        by=given.reranker,
        queries=folder,
    )
    seconds = time.perf_counter() - begin
    tell_problems(recommender.problems, given.out)
    shown = found if len(queries) > 1 else found.drop(columns="query")
    show_rows(shown, given.out, "search", f"{len(found):,} products in {seconds:.2f} s")
    return found
