"""Short-term against long-term interest: how much late purchases count beside the whole history."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.log import Log
from errors import InputError

FloatArray = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
HALF_LIFE = 4
WEIGHTS = (0.5, 0.25, 0.25)
ROUNDING = 1e-9  # smaller weights are none: 1 − a − b may leave a rest


@dataclass(frozen=True)
class Emphasis:
    """Mixes the answers of a user's whole history, of what they bought late, and of their last basket.

    p(i) = (1 − a − b) p(i | whole history) + a Σ_j w_j p(i | last j · h periods) + b p(i | last basket), j = 1, 2, 3,
    w = ½, ¼, ¼: in the second part a purchase of the last half-life counts 1, of the one before ½, of the third ¼, an
    older one nothing. Where a user bought nothing in a window, the whole history stands for it. Nothing is trained:
    each part is the model's own answer.

    Attributes:
        recent: a, 0 … 1.
        half_life: h, in periods.
        last_basket: b, 0 … 1; a + b is at most 1.
    """

    recent: float = 0.0
    half_life: int = HALF_LIFE
    last_basket: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("recent", self.recent), ("last_basket", self.last_basket)):
            if not 0 <= value <= 1:
                raise InputError(f"{name} is {value:g}", where=name, remedy="Give a number from 0 to 1.")
        if self.recent + self.last_basket > 1:
            what = f"recent and last_basket are {self.recent + self.last_basket:g} together"
            raise InputError(what, where="recent", remedy="Give at most 1 together.")
        if self.half_life < 1:
            raise InputError(f"half_life is {self.half_life}", where="half_life", remedy="Give 1 period or more.")

    def parts(self, history: Log, cutoff: int) -> list[tuple[float, Log]]:
        """Weights, which sum to 1, and the histories that they are of.

        Args:
            history: of some users, before the cut-off.
            cutoff: ages are counted from it.
        """
        whole, found = 1 - self.recent - self.last_basket, []
        for weight, inside in self._windows(history, cutoff):
            kept = inside | _of_nobody(history, inside)
            if kept.all():
                whole += weight
            else:
                found.append((weight, history.where(kept)))
        return [(weight, part) for weight, part in ((whole, history), *found) if weight > ROUNDING]

    def _windows(self, history: Log, cutoff: int) -> Iterator[tuple[float, Mask]]:
        """Weights, and what is in each window of the history."""
        for number, weight in enumerate(WEIGHTS if self.recent else (), 1):
            yield self.recent * weight, history.time >= cutoff - number * self.half_life
        if self.last_basket:
            latest = np.full(history.n_users, -1, dtype=np.int64)
            latest[history.user] = history.basket  # the log is in order of time: the last one stays
            yield self.last_basket, history.basket == latest[history.user]

    def mixed(self, history: Log, cutoff: int, score: Callable[[Log], FloatArray]) -> FloatArray:
        """Log-probabilities of the mixture.

        Args:
            history: of some users, before the cut-off.
            cutoff: ages are counted from it.
            score: log-probabilities of a part of the history, shape (b, items).
        """
        (first, whole), *others = self.parts(history, cutoff)
        mixed = score(whole)
        if others:
            mixed = mixed + np.float32(np.log(first))
        for weight, part in others:
            mixed = np.logaddexp(mixed, score(part) + np.float32(np.log(weight)))
        return mixed


def _of_nobody(history: Log, kept: Mask) -> Mask:
    """Purchases of the users of whom nothing is kept."""
    some = np.zeros(history.n_users, dtype=np.bool_)
    some[history.user[kept]] = True
    return ~some[history.user]


PLAIN = Emphasis()
