"""Windows derived from one protocol: what each keeps, that none sees its future, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.log import Log
from data.splits import ProtocolConfig
from data.windows import validation_windows, windows
from errors import InputError


def year(first=1, last=53) -> Log:
    """One interaction in each period."""
    time = np.arange(first, last + 1, dtype=np.int32)
    zeros, ones = np.zeros(len(time), dtype=np.int32), np.ones(len(time), dtype=np.float32)
    return Log(zeros, zeros, time, ones, ones, zeros, zeros, 1)


def derived(*test_cutoffs, log=None, **changed):
    return windows(ProtocolConfig(test_cutoffs=list(test_cutoffs), **changed), year() if log is None else log)


def test_none_is_todays_single_window():
    (found,) = windows(ProtocolConfig(), year())
    assert found == ProtocolConfig()


def test_windows_of_the_default_protocol():
    early, middle, late = derived(33, 40, 47)
    assert late == ProtocolConfig()
    assert (middle.validation_cutoff, early.validation_cutoff) == (33, 26)
    assert middle.train_cutoffs == [9, 13, 17, 21, 26]
    assert middle.refit_cutoffs == [9, 13, 17, 21, 26, 31, 33]
    assert early.train_cutoffs == [10, 14, 19], "2 and 6 have less than 7 weeks before them"
    assert early.refit_cutoffs == [10, 14, 19, 24, 26]


def test_a_window_without_refit_has_none():
    assert [one.refit_cutoffs for one in derived(40, 47, refit_cutoffs=[])] == [[], []]


protocols = st.builds(
    lambda horizon, gap, train, refit: ProtocolConfig(
        test_cutoff=100,
        validation_cutoff=100 - horizon - gap,
        train_cutoffs=sorted(100 - 2 * horizon - gap - back for back in train),
        refit_cutoffs=sorted(100 - horizon - back for back in refit),
        horizon=horizon,
    ),
    st.integers(1, 12),
    st.integers(0, 5),
    st.sets(st.integers(0, 40), min_size=1, max_size=6),
    st.sets(st.integers(0, 60), max_size=6),
)


@given(protocols, st.sets(st.integers(2, 119), min_size=1, max_size=4), st.integers(0, 30))
def test_no_window_sees_its_future(protocol, asked, first):
    """Everything that is trained on or chosen by ends before the window; what was refused had too little history."""
    log = year(first, 120)
    for test_cutoff in sorted(asked):
        try:
            (one,) = windows(replace(protocol, test_cutoffs=[test_cutoff]), log)
        except InputError:
            short = test_cutoff <= first or max(protocol.train_cutoffs) + test_cutoff - 100 < first + protocol.horizon
            short |= test_cutoff == 100 and min(protocol.cutoffs) <= first
            refit = protocol.refit_cutoffs
            assert short or (refit and max(refit) + test_cutoff - 100 < first + protocol.horizon)
            continue
        horizon = one.horizon
        assert (one.test_cutoff, horizon, one.test_cutoffs) == (test_cutoff, protocol.horizon, None)
        assert max(one.train_cutoffs) + horizon <= one.validation_cutoff
        assert one.validation_cutoff + horizon <= test_cutoff
        assert all(time + horizon <= test_cutoff for time in one.refit_cutoffs)
        assert max(one.cutoffs) == test_cutoff
        if test_cutoff != 100:
            assert all(time - first >= horizon for time in one.train_cutoffs + one.refit_cutoffs)


@given(protocols, st.integers(60, 119))
def test_a_window_is_the_protocol_moved(protocol, test_cutoff):
    (one,) = windows(replace(protocol, test_cutoffs=[test_cutoff]), year(-100, 120))
    back = 100 - test_cutoff
    assert one.validation_cutoff + back == protocol.validation_cutoff
    assert [time + back for time in one.train_cutoffs] == protocol.train_cutoffs
    assert [time + back for time in one.refit_cutoffs] == protocol.refit_cutoffs


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ([], "no test window"),
        ([40, 40, 47], "window 40 comes twice"),
        ([47, 40], "window 40 comes after 47"),
        ([40, 54], "window 54 lies outside the data, which spans periods 1 to 53"),
        ([1, 47], "window 1 lies outside the data"),
        ([21, 47], "window 21 leaves no cut-off in train_cutoffs .*\n  Give windows from 22 on"),
    ],
)
def test_windows_that_cannot_be_are_refused(asked, told):
    with pytest.raises(InputError, match=f"protocol.test_cutoffs: {told}"):
        derived(*asked)


def test_the_earliest_window_that_is_told_is_accepted():
    assert derived(22)[0].train_cutoffs == [8]


def test_a_refit_without_history_is_refused():
    with pytest.raises(InputError, match="no cut-off in refit_cutoffs"):
        derived(30, refit_cutoffs=[16])


def test_a_protocol_that_leaks_is_refused_in_every_window():
    with pytest.raises(InputError, match="a leak"):
        derived(46, train_cutoffs=[16, 34])


def test_a_log_without_interactions_is_told():
    with pytest.raises(InputError, match="lies outside the data"):
        derived(40, log=year().before(0))


# -- validation windows --------------------------------------------------------------------------------------


def test_validation_windows_of_the_default_protocol():
    early, late = validation_windows(ProtocolConfig(), None, year())
    assert (early.validation_cutoff, late.validation_cutoff) == (33, 40)
    assert early.train_cutoffs == [9, 13, 17, 21, 26]
    assert late.train_cutoffs == ProtocolConfig().train_cutoffs
    assert {one.test_cutoff for one in (early, late)} == {47}
    assert early.refit_cutoffs == late.refit_cutoffs == []


@given(protocols, st.sets(st.integers(2, 119), min_size=1, max_size=4), st.integers(0, 30))
def test_no_validation_window_touches_the_test(protocol, asked, first):
    log = year(first, 120)
    for cutoff in sorted(asked):
        try:
            (one,) = validation_windows(protocol, [cutoff], log)
        except InputError:
            continue
        assert one.validation_cutoff + one.horizon <= protocol.test_cutoff
        assert one.train_cutoffs
        assert all(time + one.horizon <= one.validation_cutoff for time in one.train_cutoffs)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ([], "no validation window"),
        ([40, 33], "window 33 comes after 40"),
        ([33, 41], "41 is after the protocol's validation cut-off\n  Give cut-offs of at most 40"),
        ([14, 40], "window 14 leaves no cut-off in train_cutoffs .*\n  Give windows from 15 on"),
    ],
)
def test_validation_windows_that_cannot_be_are_refused(asked, told):
    with pytest.raises(InputError, match=f"--validation_cutoffs: {told}"):
        validation_windows(ProtocolConfig(), asked, year())


def test_a_protocol_that_leaks_has_no_validation_windows():
    with pytest.raises(InputError, match="a leak"):
        validation_windows(ProtocolConfig(validation_cutoff=41), [33], year())
