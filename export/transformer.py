"""Features of pairs as a scikit-learn transformer."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from data.lookup import positions
from errors import InputError
from evaluation.scorer import FloatArray, IntArray
from export.features import PairFeatures
from export.levels import item_levels
from export.manifest import sha256
from export.people import People, everybody, from_histories
from kg.config import StoreConfig
from training.loaded import LoadedRun, load_run

COLUMNS = ("user_id", "item_id")


MADE_OF = ("model.safetensors", "model.json", "config.yaml")


@lru_cache(maxsize=1)
def _kept(folder: Path, fingerprint: tuple[str, ...], store: StoreConfig | None) -> LoadedRun:
    return load_run(folder, store)


def _loaded(folder: Path, store: StoreConfig | None) -> LoadedRun:
    """A run, kept: a pipeline that is cloned and fitted again and again asks for it each time.

    Another run that was put in the same place is loaded anew.
    """
    fingerprint = tuple(sha256(folder / name) for name in MADE_OF if (folder / name).is_file())
    return _kept(folder, fingerprint, store)


class CrossAisleFeatures(TransformerMixin, BaseEstimator):
    """Turns pairs of a user and an item into the features of `export.features.PairFeatures`.

    ``CrossAisleFeatures().fit(RUN).transform(pairs)``; in a `Pipeline`, whose ``fit`` hands pairs to every step,
    ``CrossAisleFeatures(run=RUN)``. Nothing is learnt from the pairs: a run is trained already, on what was bought
    before its test cut-off. Pickling keeps the run's folder, not the run, which is loaded again when it is asked.

    Args:
        run: folder of a finished run; None: ``fit`` is given it.
        level: whose items are meant: category, product, or another level's own name.
        histories: .csv or .parquet with the purchases of the users (see `export.people.from_histories`); None: users
            of the run's data.
        store: where the run's graph is kept, when not where the run kept it.

    Attributes:
        run_: the loaded run.
        n_features_in_: 2.
        feature_names_in_: user_id, item_id.
    """

    def __init__(
        self,
        run: str | Path | None = None,
        level: str = "product",
        histories: Path | str | None = None,
        store: StoreConfig | None = None,
    ) -> None:
        self.run, self.level, self.histories, self.store = run, level, histories, store

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: ANN401
        """Load the run.

        Args:
            X: the run (its folder, or a loaded one), where the transformer was made without one; else pairs as of
                `transform`, of which only the shape is looked at.
            y: not used.

        Raises:
            InputError: no finished run, or a level that it does not have.
        """
        if self.run is None and not isinstance(X, (str, Path, LoadedRun)):
            remedy = "Give a run to fit, or make it as CrossAisleFeatures(run=RUN)."
            raise InputError("no run is given", where="CrossAisleFeatures", remedy=remedy)
        if self.run is not None:
            _columns(X)
        source = X if self.run is None else self.run
        self._source = source if isinstance(source, LoadedRun) else Path(source).resolve()
        self._load()
        self.n_features_in_ = len(COLUMNS)
        self.feature_names_in_ = np.array(COLUMNS, dtype=object)
        return self

    def transform(self, X: Any) -> FloatArray:  # noqa: ANN401
        """Features of pairs.

        Args:
            X: a frame with ``user_id`` and ``item_id``, or an array of two columns of text, shape (m, 2).

        Returns:
            Finite, float32, shape (m, features), in the order of `get_feature_names_out`.

        Raises:
            InputError: an id that is no text, or that the run does not know.
            sklearn.exceptions.NotFittedError: before `fit`.
        """
        check_is_fitted(self, "n_features_in_")
        users, items = _columns(X)
        if not hasattr(self, "run_"):
            self._load()
        user = _places(users, self._people.ids, "user_id")
        item = _places(items, self._maker.level.problem.item_ids, "item_id")
        return self._maker.of_pairs(self._people, user, item)

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:
        """Names of the features, shape (features,)."""
        check_is_fitted(self, "n_features_in_")
        if not hasattr(self, "run_"):
            self._load()
        return np.array(self._maker.names, dtype=object)

    def _load(self) -> None:
        run = self._source if isinstance(self._source, LoadedRun) else _loaded(self._source, self.store)
        levels = item_levels(run)
        labels = {level.problem.name: level.label for level in levels}
        if self.level not in labels:
            remedy = f"Give one of {', '.join(labels)}."
            raise InputError(f"there is no level {self.level!r}", where="level", remedy=remedy)
        time = run.scorer.cutoff.time
        histories = None if self.histories is None else Path(self.histories)
        self._people: People = (
            everybody(run.dataset, time) if histories is None else from_histories(run.dataset, time, histories)
        )
        self._maker = PairFeatures(run, levels, labels[self.level])
        self.run_ = run

    def __getstate__(self) -> dict[str, Any]:
        if isinstance(getattr(self, "_source", None), LoadedRun):
            remedy = "Fit it on the run's folder instead."
            raise InputError("a loaded run cannot be pickled", where="CrossAisleFeatures", remedy=remedy)
        state: dict[str, Any] = super().__getstate__()
        left_out = ("run_", "_maker", "_people")
        return {name: value for name, value in state.items() if name not in left_out}

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _columns(pairs: Any) -> tuple[pd.Series, pd.Series]:  # noqa: ANN401
    """Users and items of pairs, each of shape (m,).

    Raises:
        InputError: the pairs have another form.
    """
    if not isinstance(pairs, pd.DataFrame):
        array = np.asarray(pairs, dtype=object)
        if array.ndim != 2 or array.shape[1] != len(COLUMNS):
            what = f"pairs of shape {array.shape} are given"
            raise InputError(what, where="pairs", remedy="Give two columns: users and items.")
        pairs = pd.DataFrame(array, columns=list(COLUMNS))
    for name in COLUMNS:
        if name not in pairs:
            raise InputError(f"there is no column {name!r}", where="pairs", remedy=f"Give {' and '.join(COLUMNS)}.")
    return pairs["user_id"], pairs["item_id"]


def _places(ids: pd.Series, known: npt.NDArray[np.str_], name: str) -> IntArray:
    """Positions of ids.

    Raises:
        InputError: one is no text, or is not known.
    """
    values = ids.tolist()
    odd = [value for value in values if not isinstance(value, str)]
    if odd:
        raise InputError(f"{name} {odd[0]!r} is no text", where="pairs", remedy="Give ids as in the run's data.")
    place = positions(np.array(values, dtype=str), known)
    if (place < 0).any():
        lost = values[int(np.argmax(place < 0))]
        raise InputError(f"{name} {lost!r} is not known", where="pairs", remedy="Give ids of the run's data.")
    return place
