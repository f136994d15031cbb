"""A training that starts from a finished run: what carries over, what never does, and what is refused."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
import torch

from encoders.text import TextEncoder
from errors import InputError
from fusion.model import CrossAisle, ModelShape
from training import initial, roles, series
from training.initial import Source, begin, carry_over, check_same, starting_encoder
from training.module import InterestModule
from training.phases import Phases
from training.run import Job
from training.saved import save_model
from training.study import _check_start

ALL = ("text", "encoders", "heads")
NAMES = {"Department": "Floor", "Category": "Aisle", "Type": "Shelf", "IN_DEPARTMENT": "IN_FLOOR"}
NAMES |= {"IN_CATEGORY": "IN_AISLE", "IN_TYPE": "IN_SHELF"}


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    """A finished run whose language model was tuned."""
    encoder = TextEncoder(run.config.text)
    state = encoder.trainable_state()
    encoder.load_trainable_state({name: value + 0.01 for name, value in state.items()})
    made = tmp_path_factory.mktemp("source")
    save_model(made, run.trained.module.model, encoder, {"data_fingerprint": run.dataset.fingerprint})
    return made


@pytest.fixture(scope="module")
def source(folder):
    return Source.read(folder)


def fresh(shape, config):
    torch.manual_seed(17)
    return CrossAisle(shape, config)


def renamed(shape):
    """The same shape in another shop's words."""

    def word(name):
        turned = "rev_" * name.count("rev_")
        return turned + NAMES.get(name.removeprefix(turned), name.removeprefix(turned))

    values = asdict(shape)
    edges = {key: [tuple(map(word, edge)) for edge in values[key]] for key in ("edge_types", "leaf_edges")}
    labels = {key: [word(label) for label in values[key]] for key in ("node_types", "text_labels")}
    steps = [replace(step, label=word(step.label)) for step in shape.steps]
    nodes = {word(label): n for label, n in shape.nodes.items()}
    features = {".".join(map(word, key.split("."))): names for key, names in shape.features.items()}
    parts = {"interest": word(shape.interest), "steps": steps, "nodes": nodes, "features": features}
    return ModelShape(**values | edges | labels | parts)


def without_types(shape):
    """A shop of the same kind whose products sit right in its categories."""
    edges = [("Category", "via_Product", "Brand"), ("Brand", "via_Product", "Category")]
    edges += [("Category", "BOUGHT_WITH", "Category")]
    edges += [("Colour", "via_Product", "Category"), ("Category", "via_Product", "Colour")]
    return replace(
        shape,
        node_types=["Category", "Colour", "Brand"],
        edge_types=edges,
        leaf_edges=[("Category", "rev_IN_CATEGORY", "Product"), ("Colour", "rev_HAS_COLOUR", "Product")],
        text_labels=["Category"],
        steps=[shape.steps[-1]],
    )


# -- what carries over ---------------------------------------------------------------------------------------


def test_of_the_same_shop_everything_carries_over_but_its_own_numbers(run, source):
    model = fresh(source.shape, source.model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    carried = carry_over(model, source, ALL)
    assert not carried.fresh
    assert not carried.partly
    for name, value in model.state_dict().items():
        assert torch.equal(value, source.tensors[name] if name in carried.whole else before[name]), name
    parts = [initial.part_of(name) for name in carried.whole]
    wanted = [f"{part} {parts.count(part)} of {parts.count(part)} weights" for part in ("encoders", "heads")]
    assert list(carried.told())[1:] == wanted
    own = before.keys() - set(carried.whole)
    assert {"pair_scale.mean", "item_scale.scale", "user_scale.mean", "head.user_norm.running_mean"} <= own
    assert {"within.within_Type.item_scale.mean", "rerank.rerank_Type.linear.weight"} <= own


def test_the_encoders_say_of_a_node_what_they_say_in_the_run(run, source):
    model = fresh(source.shape, source.model)
    carry_over(model, source, ["encoders"])
    there = run.trained.module.eval()
    here = InterestModule(model, run.bank, run.plan, [], run.config.optimiser, False, None).eval()
    with torch.no_grad():
        ours, theirs = here.nodes(run.cutoff), there.nodes(run.cutoff)
    for label, hidden in theirs.hidden.items():
        assert torch.equal(ours.hidden[label], hidden), label
    assert torch.equal(ours.vectors["Type"], theirs.vectors["Type"])
    assert not torch.equal(model.head.linear.weight, source.tensors["head.linear.weight"])


def test_names_do_not_matter(source):
    model = fresh(renamed(source.shape), source.model)
    carried = carry_over(model, source, ALL)
    assert not carried.fresh
    assert carried.labels["Aisle"] == "Category"
    assert carried.labels["Shelf"] == "Type"
    state = model.state_dict()
    assert torch.equal(state["text.text_Shelf.weight"], source.tensors["text.text_Type.weight"])
    edge = "graph.known.0.convs.<{}___{}___{}>.weight.weight"
    ours, theirs = edge.format("Shelf", "IN_AISLE", "Aisle"), edge.format("Type", "IN_CATEGORY", "Category")
    assert torch.equal(state[ours], source.tensors[theirs])


def test_without_a_level_the_lowest_ones_stand_for_each_other(source):
    shape = without_types(source.shape)
    model = fresh(shape, source.model)
    carried = carry_over(model, source, ALL)
    found = roles.relations([*shape.edge_types, *shape.leaf_edges], shape, source.shape)
    assert found == {
        ("Category", "via_Product", "Brand"): ("Type", "via_Product", "Brand"),
        ("Brand", "via_Product", "Category"): ("Brand", "via_Product", "Type"),
        ("Category", "BOUGHT_WITH", "Category"): ("Category", "BOUGHT_WITH", "Category"),
        ("Category", "rev_IN_CATEGORY", "Product"): ("Type", "rev_IN_TYPE", "Product"),
    }
    assert "graph.label.node_Colour" in carried.fresh
    assert all("Colour" in name for name in carried.fresh)
    state = model.state_dict()
    assert torch.equal(state["fusion.fuse_Category.norm.weight"], source.tensors["fusion.fuse_Category.norm.weight"])
    there = source.tensors["leaf.Type_rev_IN_TYPE_Product.weight"]
    assert torch.equal(state["leaf.Category_rev_IN_CATEGORY_Product.weight"], there)


def test_heads_are_taken_over_feature_by_feature(source):
    names = source.shape.features["pairs"]
    pairs = [*names[::-1][:-2], "weather"]
    features = source.shape.features | {"pairs": pairs}
    model = fresh(replace(source.shape, pair_features=len(pairs), features=features), source.model)
    before = model.head.of_pair.weight.clone()
    carried = carry_over(model, source, ALL)
    assert carried.partly["head.of_pair.weight"] == (len(pairs) - 1, len(pairs))
    for place, name in enumerate(pairs):
        wanted = before[:, -1] if name == "weather" else source.tensors["head.of_pair.weight"][:, names.index(name)]
        assert torch.equal(model.head.of_pair.weight[:, place], wanted), name


def test_a_run_that_does_not_name_its_features_gives_its_encoders(source):
    old = replace(source, shape=replace(source.shape, features={}))
    model = fresh(source.shape, source.model)
    carried = carry_over(model, old, ALL)
    assert {"head.of_pair.weight", "head.linear.weight", "within.within_Type.linear.weight"} <= set(carried.fresh)
    dim = source.model.dim
    assert torch.equal(model.history.key.weight[:, :dim], source.tensors["history.key.weight"][:, :dim])
    assert "heads" in " ".join(carried.told())


def test_the_language_model_is_as_it_was_tuned(run, folder, source):
    config = replace(run.config, init_from=folder)
    assert starting_encoder(config).fingerprint() == source.text_fingerprint
    assert starting_encoder(run.config).fingerprint() != source.text_fingerprint
    assert starting_encoder(replace(config, init_parts=["encoders"])).fingerprint() != source.text_fingerprint
    other = starting_encoder(replace(config, text=replace(config.text, lora_rank=2)))
    assert other.fingerprint() == starting_encoder(run.config).fingerprint()


# -- what is refused -----------------------------------------------------------------------------------------


def changed(folder, to, **values):
    """A copy of a run with other facts."""
    to.mkdir()
    (to / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    facts = json.loads((folder / "model.json").read_text()) | values
    (to / "model.json").write_text(json.dumps(facts))
    return to


def test_what_is_no_finished_run_is_refused(run, tmp_path):
    (tmp_path / "begun.partial").mkdir()
    (tmp_path / "several").mkdir()
    for name, told in {
        "none": "there is no run",
        "several": "one of several runs is a folder in it",
        "begun": "--resume .*begun.partial",
        "begun.partial": "not finished",
    }.items():
        with pytest.raises(InputError, match=told):
            begin(replace(run.config, init_from=tmp_path / name), tmp_path)
    assert not (tmp_path / initial.RECORD).exists()


def test_a_run_that_nothing_can_be_taken_from_is_refused(run, folder, tmp_path):
    with pytest.raises(InputError, match=r"Give --model.dim 12"):
        begin(replace(run.config, init_from=folder, model=replace(run.config.model, dim=8)), tmp_path)
    with pytest.raises(InputError, match=r"another language model\n  Give --text.pooling 'mean'"):
        begin(replace(run.config, init_from=folder, text=replace(run.config.text, pooling="cls")), tmp_path)
    other = changed(folder, tmp_path / "other", text_fingerprint="0" * 64)
    with pytest.raises(InputError, match="the language model is not the one"):
        starting_encoder(replace(run.config, init_from=other))
    with pytest.raises(InputError, match="this version reads 1"):
        begin(replace(run.config, init_from=changed(folder, tmp_path / "later", format=9)), tmp_path)
    with pytest.raises(InputError, match="no run to take parts from"):
        begin(replace(run.config, init_parts=["heads"]), tmp_path)


def test_trials_start_from_scratch(run, folder):
    with pytest.raises(InputError, match="trials start from scratch"):
        _check_start(replace(run.config, init_from=folder))
    _check_start(run.config)


def test_a_run_does_not_go_on_from_other_weights(run, folder, tmp_path):
    there, work = changed(folder, tmp_path / "there"), tmp_path / "work"
    work.mkdir()
    config = replace(run.config, init_from=there)
    begin(config, work)
    before = (work / initial.RECORD).read_text()
    begin(config, work)
    assert (work / initial.RECORD).read_text() == before
    assert json.loads(before)["run"] == str(there.resolve())
    changed_facts = json.loads((there / "model.json").read_text()) | {"note": "trained again"}
    (there / "model.json").write_text(json.dumps(changed_facts))
    with pytest.raises(InputError, match="has changed"):
        begin(config, work)
    (work / "config.yaml").touch()
    planned = SimpleNamespace(folder=SimpleNamespace(final=work, work=tmp_path), settings=config)
    with pytest.raises(InputError, match="has changed"):
        series._check(None, planned)
    check_same(None, work)


# -- a whole training ----------------------------------------------------------------------------------------


def trained(run, config, folder):
    """Training in a folder, as `train.py` does it."""
    folder.mkdir(exist_ok=True)
    begin(config, folder)
    job = Job(config, folder)
    return job.train(run.dataset, run.graphs, *job.encode_texts(run.dataset))[0].module


def test_an_interrupted_training_goes_on_from_the_same_start(run, folder, tmp_path, monkeypatch):
    config = replace(run.config, init_from=folder, optimiser=replace(run.config.optimiser, epochs=1, rerank_epochs=1))
    whole = trained(run, config, tmp_path / "whole")
    plain, phases = Phases.run, []

    def until_the_final_fit(self, name, *given, **more):
        phases.append(name)
        if name == "final":
            raise KeyboardInterrupt
        return plain(self, name, *given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Phases, "run", until_the_final_fit)
        with pytest.raises(KeyboardInterrupt):
            trained(run, config, tmp_path / "cut")
    assert phases == ["choose", "text", "final"]
    again = trained(run, config, tmp_path / "cut").state_dict()
    state = whole.state_dict()
    assert again.keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in again.items())
    records = [json.loads((tmp_path / name / initial.RECORD).read_text()) for name in ("whole", "cut")]
    assert records[0] == records[1]
    assert records[0]["text"]
    assert records[0]["labels"]["Type"] == "Type"
