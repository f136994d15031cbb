from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from fusion.model import CrossAisle
from training import build
from training.cutoffs import Chain
from training.phases import Phases
from training.run import attention_by_label, levels_of
from training.saved import load_model, save_model


def test_phases_and_what_was_kept(run):
    names = [phase.name for phase in run.trained.phases]
    assert names[:3] == ["choose", "text", "final"]
    assert ("final-text" in names) == run.trained.text["kept"]
    for phase in run.trained.phases[:2]:
        figures = [row["ndcg@20"] for row in phase.validation]
        assert phase.best == pytest.approx(max(figures))
        assert phase.epochs == 1 + int(np.argmax(figures))
    assert run.trained.text["kept"] == (run.trained.text["tuned"] >= run.trained.text["frozen"])
    assert all(np.isfinite(row["ndcg@20"]) for phase in run.trained.phases for row in phase.validation)


def test_the_final_fit_is_as_long_as_validation_found_best(run):
    phases = {phase.name: phase for phase in run.trained.phases}
    assert phases["final"].epochs == phases["choose"].epochs
    assert phases["final"].validation == []
    assert phases["final"].best is None


def test_attention_by_label(run):
    found = attention_by_label(run.trained, run.cutoff)
    assert "Category" in found
    for weights in found.values():
        assert sum(weight["mean"] for weight in weights.values()) == pytest.approx(1, abs=1e-5)
    assert set(found["Category"]) == {"graph", "text", "collaborative"}


def test_levels(run):
    assert list(levels_of(run.dataset)) == ["category", "type", "product"]


def test_rejects_are_written(run):
    assert list(pd.read_csv(run.job.folder / "rejects.csv").columns) == ["table", "row", "column", "value", "reason"]


def test_a_saved_model_is_the_same(run, tmp_path):
    module = run.trained.module
    save_model(tmp_path, module.model, module.bank.encoder, {"note": "x"})
    model, encoder, facts = load_model(tmp_path)
    assert facts["note"] == "x"
    state = module.model.state_dict()
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    tuned = module.bank.encoder.trainable_state()
    assert tuned.keys() == encoder.trainable_state().keys()
    assert len(tuned) > 0
    assert all(torch.equal(value, tuned[name]) for name, value in encoder.trainable_state().items())
    assert not model.training
    texts = ["red, 100 g", ""]
    module.bank.encoder.eval()
    with torch.no_grad():
        torch.testing.assert_close(encoder.eval()(texts), module.bank.encoder(texts))


@pytest.fixture
def train_phase(run):
    """Runs one phase in a folder; Ctrl-C comes at the validation numbered ``stop``."""
    times = run.config.protocol.train_cutoffs
    store = build.ExampleStore(run.config, run.dataset, Chain.of(run.dataset), run.graphs)
    examples, items = store.get(times)
    config = replace(run.config.optimiser, epochs=3, patience=9, batch_size=8)
    shape = build.shape_of(run.dataset, run.bank, run.cutoff, run.config.model)

    def train(folder, stop=0, training=True):
        asked = []

        def validate(module):
            asked.append(1)
            if len(asked) == stop:
                raise KeyboardInterrupt
            return {"ndcg@20": float(sum(p.detach().double().abs().sum() for p in module.model.parameters()))}

        torch.manual_seed(0)
        model = CrossAisle(shape, run.config.model)
        build.fit_scales(model, examples, items, 0)
        folder.mkdir(exist_ok=True)
        phases = Phases(folder, config, 0, store)
        return phases.run("choose", model.train(training), run.bank, run.plan, times, validate=validate)

    return train


def test_an_interrupted_phase_goes_on_as_if_undisturbed(train_phase, tmp_path):
    """Ctrl-C in the second epoch: dropout, order and schedule of the rest are as without it."""
    whole = train_phase(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_phase(tmp_path / "parts", stop=2)
    assert train_phase(tmp_path / "parts").validation == whole.validation
    assert len(whole.validation) == 3


def test_a_phase_trains_with_dropout_in_whatever_mode_it_finds_the_model(train_phase, tmp_path):
    expected = train_phase(tmp_path / "one").validation
    assert train_phase(tmp_path / "other", training=False).validation == expected
