from __future__ import annotations

import pytest

from errors import InputError
from train import build_parser
from training.config import from_parsed
from training.variants import VARIANTS, chosen


def whole(*flags):
    return build_parser().parse_args(list(flags))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_a_few_settings_of_the_command_line(name):
    """What it changes are settings that a person can give, and that are not the whole model's."""
    parsed = whole()
    changes = chosen([name], parsed)[name]
    assert changes
    for setting, value in changes.items():
        assert parsed[setting] != value
        parsed[setting] = value
    told = {setting: str(value).lower() if value in (True, False) else value for setting, value in changes.items()}
    flags = [f"--{setting}={value}" for setting, value in told.items()]
    again = whole(*flags)
    assert all(again[setting] == value for setting, value in changes.items())
    from_parsed(build_parser(), parsed)


def test_the_whole_model_stands_first_and_changes_nothing():
    assert list(chosen(["gating", "no_text"], whole())) == ["whole", "gating", "no_text"]
    assert list(chosen(["whole", "gating"], whole())) == ["whole", "gating"]
    assert list(chosen([], whole())) == ["whole", *VARIANTS]
    assert chosen([], whole())["whole"] == {}


def test_a_modality_is_left_out_of_those_given():
    given = whole("--model.modalities", "[graph,text,collaborative]")
    assert chosen(["no_graph"], given)["no_graph"] == {"model.modalities": ["text", "collaborative"]}


def test_variants_that_change_nothing_are_left_out_of_all():
    names = list(chosen([], whole("--model.modalities", "[graph]", "--model.fusion.kind", "gating")))
    assert not set(names) & {"no_text", "frozen_text", "shuffled_texts", "no_graph", "gating"}
    assert {"shuffled_graph", "ids_only", "concatenation"} <= set(names)


@pytest.mark.parametrize(("name", "told"), [("no_grpah", "no_co_purchase"), ("frozen_text", "changes nothing")])
def test_what_is_refused(name, told):
    with pytest.raises(InputError, match=told):
        chosen([name], whole("--text.strategy", "frozen"))
