"""Several windows from one protocol, each with cut-offs of its own that all lie before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from data.log import Log
from data.splits import ProtocolConfig
from errors import InputError

WHERE = "protocol.test_cutoffs"
VALIDATION = "--validation_cutoffs"


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
    _check_order(asked, "test", WHERE)
    found = []
    for test_cutoff in asked:
        one = _moved(protocol, test_cutoff, log)
        one.check(log)
        found.append(one)
    return found


def validation_windows(protocol: ProtocolConfig, asked: Sequence[int] | None, log: Log) -> list[ProtocolConfig]:
    """One protocol for each validation cut-off, for choices made on several of them and never on the test.

    Training cut-offs are moved by as much as the validation cut-off is, those with less than a horizon of data before
    them left out, as in `windows`. The test cut-off stays where it is, so that every target of every window lies
    before it; there are no refit cut-offs.

    Args:
        protocol: of the test that the choices are made for.
        asked: validation cut-offs, rising; None: the protocol's own, and the one a horizon before it.
        log: all interactions.

    Raises:
        InputError: no cut-off, cut-offs that do not rise, one after the protocol's own or with too little data before
            it, or a protocol that leaks (see `ProtocolConfig.check`).
    """
    protocol.check(log)
    latest = protocol.validation_cutoff
    asked = [latest - protocol.horizon, latest] if asked is None else asked
    _check_order(asked, "validation", VALIDATION)
    return [_validation(protocol, cutoff, log) for cutoff in asked]


def _validation(protocol: ProtocolConfig, cutoff: int, log: Log) -> ProtocolConfig:
    latest = protocol.validation_cutoff
    if cutoff > latest:
        remedy = f"Give cut-offs of at most {latest}, the one that choices are made on."
        raise InputError(f"{cutoff} is after the protocol's validation cut-off", where=VALIDATION, remedy=remedy)
    earliest = int(log.time[0]) + protocol.horizon
    kept = _kept("train_cutoffs", protocol, cutoff - latest, earliest, cutoff, VALIDATION)
    return replace(protocol, validation_cutoff=cutoff, train_cutoffs=kept, refit_cutoffs=[], test_cutoffs=None)


def _check_order(asked: Sequence[int], kind: str, where: str) -> None:
    if not asked:
        raise InputError(f"no {kind} window", where=where, remedy="Give at least one, or leave it out.")
    for one, other in pairwise(asked):
        if other <= one:
            told = "twice" if other == one else f"after {one}"
            remedy = "Give each window once, earlier ones first."
            raise InputError(f"window {other} comes {told}", where=where, remedy=remedy)


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
        train_cutoffs=_kept("train_cutoffs", protocol, shift, earliest, test_cutoff, WHERE),
        refit_cutoffs=_kept("refit_cutoffs", protocol, shift, earliest, test_cutoff, WHERE),
    )


def _kept(name: str, protocol: ProtocolConfig, shift: int, earliest: int, window: int, where: str) -> list[int]:
    """The moved cut-offs of a field, without those before the earliest one."""
    times = getattr(protocol, name)
    kept = [time + shift for time in times if time + shift >= earliest]
    if times and not kept:
        what = f"window {window} leaves no cut-off in {name} with a horizon of data before it"
        enough = window - shift + earliest - max(times)
        remedy = f"Give windows from {enough} on, or later {name}: they are moved along with the window."
        raise InputError(what, where=where, remedy=remedy)
    return kept
