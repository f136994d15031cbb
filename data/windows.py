"""Several test windows from one protocol, each with cut-offs of its own that all lie before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from data.log import Log
from data.splits import ProtocolConfig
from errors import InputError

WHERE = "protocol.test_cutoffs"


def windows(protocol: ProtocolConfig, log: Log) -> list[ProtocolConfig]:
    """One protocol for each of ``test_cutoffs`` (none: for ``test_cutoff`` alone), in their order.

    A window's cut-offs are the protocol's, all moved by as much as the test cut-off is. Moved training and refit
    cut-offs with less than a horizon of data before them are left out: nearly everything is unseen there, so they
    would teach a task that the test does not set.

    Args:
        protocol: its cut-offs are those of ``test_cutoff``, which is moved by nothing.
        log: all interactions.

    Raises:
        InputError: no window, windows that do not rise, one outside the data or with too little data before it, or a
            protocol that leaks (see `ProtocolConfig.check`).
    """
    asked = [protocol.test_cutoff] if protocol.test_cutoffs is None else protocol.test_cutoffs
    _check_order(asked)
    found = []
    for test_cutoff in asked:
        one = _moved(protocol, test_cutoff, log)
        one.check(log)
        found.append(one)
    return found


def _check_order(asked: Sequence[int]) -> None:
    if not asked:
        raise InputError("no test window", where=WHERE, remedy="Give at least one, or leave it out.")
    for one, other in pairwise(asked):
        if other <= one:
            told = "twice" if other == one else f"after {one}"
            remedy = "Give each window once, earlier ones first."
            raise InputError(f"window {other} comes {told}", where=WHERE, remedy=remedy)


def _moved(protocol: ProtocolConfig, test_cutoff: int, log: Log) -> ProtocolConfig:
    """The protocol of one window."""
    shift = test_cutoff - protocol.test_cutoff
    if not shift:
        return replace(protocol, test_cutoffs=None)
    first, last = (int(log.time[0]), int(log.time[-1])) if len(log) else (0, 0)
    if not first < test_cutoff <= last:
        what = f"window {test_cutoff} lies outside the data, which spans periods {first} to {last}"
        raise InputError(what, where=WHERE, remedy="Give cut-offs with interactions before and after them.")
    earliest = first + protocol.horizon
    return replace(
        protocol,
        test_cutoff=test_cutoff,
        test_cutoffs=None,
        validation_cutoff=protocol.validation_cutoff + shift,
        train_cutoffs=_kept("train_cutoffs", protocol, shift, earliest),
        refit_cutoffs=_kept("refit_cutoffs", protocol, shift, earliest),
    )


def _kept(name: str, protocol: ProtocolConfig, shift: int, earliest: int) -> list[int]:
    """The moved cut-offs of a field, without those before the earliest one."""
    times = getattr(protocol, name)
    kept = [time + shift for time in times if time + shift >= earliest]
    if times and not kept:
        what = f"window {protocol.test_cutoff + shift} leaves no cut-off in {name} with a horizon of data before it"
        enough = protocol.test_cutoff + earliest - max(times)
        remedy = f"Give windows from {enough} on, or later {name}: they are moved along with the window."
        raise InputError(what, where=WHERE, remedy=remedy)
    return kept
