"""The words of a search for settings, on figures made by hand."""

from __future__ import annotations

import pytest

from evaluation import study_page


def trial(number, state, value, **settings):
    return {"number": number, "state": state, "value": value, "epochs": 4, "seconds": 61.0, "settings": settings}


@pytest.fixture
def found():
    return {
        "source": "shop",
        "time_unit": "week",
        "horizon": 7,
        "test_cutoff": 47,
        "windows": {"33": [17, 26], "40": [24, 33]},
        "space": {"optimiser.lr": {"low": 0.001, "high": 0.01, "log": True}, "model.dim": {"choices": [32, 48]}},
        "settings": {"optimiser.lr": 0.003, "model.dim": 48},
        "trials": [
            trial(0, "complete", 0.29, **{"optimiser.lr": 0.003, "model.dim": 48}),
            trial(1, "pruned", None, **{"optimiser.lr": 0.01, "model.dim": 32}),
            trial(2, "complete", 0.3, **{"optimiser.lr": 0.004, "model.dim": 32}),
        ],
        "best": 2,
        "given": 0,
        "importance": {"optimiser.lr": 0.75, "model.dim": 0.25},
    }


def test_windows_and_trials_are_told(found):
    said = study_page.introduction(found)
    assert "from 33 (trained on 17, 26), 40 (trained on 24, 33) on; nothing from 47 on" in said
    assert said.endswith("Trials: 2 whole, 1 ended early.")


def test_the_best_stands_beside_the_settings_as_given(found):
    assert study_page.verdict(found) == (
        "Best: trial 2 with .3000; the settings as given (trial 0) .2900, +.0100 to the best."
    )
    found["best"] = 0
    assert study_page.verdict(found) == "Best: trial 0 with .2900: the settings as they were given."
    found["given"] = None
    assert "outside the space" in study_page.verdict(found)


def test_a_study_without_a_whole_trial_has_a_page(found):
    found["trials"] = [one | {"value": None, "state": "pruned"} for one in found["trials"]]
    found |= {"best": None, "given": None, "importance": {}}
    page = study_page.html(found)
    assert "No trial is whole yet." in page
    assert "<svg" not in page
    assert "What matters" not in page


def test_tables_and_drawing_hold_every_setting(found):
    page, text = study_page.html(found), study_page.markdown(found)
    assert page.count("<svg") == 1
    assert "0.001 to 0.01, logarithmic" in text
    assert "| optimiser.lr | .75 |" in text
    rows = [line for line in text.splitlines() if line.startswith("| 2 |")]
    assert rows == ["| 2 | .3000 | whole | 1 min 01 s | 0.004 | 32 |"]
    order = [line.split("|")[1].strip() for line in text.split("## Trials")[1].splitlines() if line.startswith("| ")]
    assert order[2:] == ["2", "0", "1"], "the best first, those without a figure last"
    assert study_page.csv(found).splitlines()[0] == "number,state,value,epochs,seconds,optimiser.lr,model.dim"
