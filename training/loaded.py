"""A finished run, loaded for use."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from jsonargparse import ArgumentParser

from data.dataset import Dataset
from data.load import load
from data.splits import ProtocolConfig
from encoders.text import TextEncoder
from encoders.text_bank import TextBank
from encoders.text_cache import FrozenCache
from errors import InputError
from files import read_json
from fusion.cold import ColdHead
from fusion.model import CrossAisle
from kg.config import StoreConfig
from kg.schema import Schema, schema_of
from training import build
from training.config import TrainConfig, from_parsed
from training.cutoffs import Chain
from training.folder import CONFIG, TEXT
from training.module import InterestModule
from training.phases import load_weights
from training.saved import load_cold, load_model, read_facts
from training.scorer import CrossAisleScorer

METRICS = "metrics.json"


@dataclass(frozen=True)
class LoadedRun:
    """A run with all that it needs to score.

    Attributes:
        name: of its folder.
        config: resolved configuration.
        dataset: the data that it was trained on.
        schema: of its graph.
        scorer: at the test cut-off, whose history ends last, unless another moment was asked for.
        cold: heads for items that nobody has bought, by label of the level.
    """

    name: str
    config: TrainConfig
    dataset: Dataset
    schema: Schema
    scorer: CrossAisleScorer
    cold: dict[str, ColdHead] = field(default_factory=dict)


def load_run(folder: Path, store: StoreConfig | None = None, cutoff: int | None = None) -> LoadedRun:
    """Load a run's model, its data and its graph (loading the graph into the store where it is not there).

    Args:
        folder: of a finished run.
        store: where the graph is kept, when not where the run kept it.
        cutoff: moment of prediction, at or after the run's test cut-off, which is the default: weights are the run's,
            histories, evidence and graph end there.

    Raises:
        InputError: the folder holds no whole run, the data are not the run's any more, or the moment is before the
            test cut-off (the weights know what was bought then) or outside the data.
    """
    model, encoder, config, dataset = _read(folder, store)
    config = config if cutoff is None else replace(config, protocol=_later(config.protocol, cutoff, dataset))
    return _at(folder, model, encoder, config, dataset, config.protocol.test_cutoff)


def load_chosen(folder: Path, store: StoreConfig | None = None) -> LoadedRun:
    """The run's model as validation chose it, at the validation cut-off: nothing from there on was trained on.

    The run's own weights are of the final fit, which has seen the validation window; what is to be fitted on that
    window (probabilities, weights of an ensemble) needs a model that has not.

    Args:
        folder: of a finished run, with its ``checkpoints``.
        store: where the graph is kept, when not where the run kept it.

    Raises:
        InputError: as of `load_run`, or the checkpoints are gone.
    """
    weights = _chosen_weights(folder)
    model, encoder, config, dataset = _read(folder, store)
    run = _at(folder, model, encoder, config, dataset, config.protocol.validation_cutoff)
    load_weights(run.scorer.module, weights)
    return replace(run, cold={})


def _chosen_weights(folder: Path) -> Path:
    """Checkpoint of the phase that validation kept."""
    read_facts(folder / "model.json")
    try:
        kept = read_json(folder / METRICS)["text"]["kept"]
        place = folder / "checkpoints" / ("text" if kept else "choose")
        weights = place / str(read_json(place / "phase.json")["weights"])
        if not weights.is_file():
            raise FileNotFoundError(weights)
    except (OSError, KeyError, ValueError) as error:
        remedy = "Give a run folder as training left it."
        raise InputError("the chosen weights are gone", where=str(folder / "checkpoints"), remedy=remedy) from error
    return weights


def _read(folder: Path, store: StoreConfig | None) -> tuple[CrossAisle, TextEncoder, TrainConfig, Dataset]:
    """A run's model, text encoder, configuration and data."""
    model, encoder, facts = load_model(folder)
    config = read_config(folder / CONFIG)
    config = replace(config, store=store or config.store)
    dataset = load(config.data)
    if dataset.fingerprint != facts["data_fingerprint"]:
        remedy = "Give the data of the run, or train again."
        raise InputError("the data have changed since this run", where=str(folder), remedy=remedy)
    return model, encoder, config, dataset


def _at(
    folder: Path, model: CrossAisle, encoder: TextEncoder, config: TrainConfig, dataset: Dataset, moment: int
) -> LoadedRun:
    """The model with all that is known at a moment."""
    _, graphs = build.load_and_read(config, dataset)
    graph = build.model_graphs({moment: graphs[moment]}, config)[moment]
    plan, texts = build.text_plan(dataset, config)
    bank = TextBank(encoder, texts, FrozenCache(folder / TEXT))
    known = build.cutoff(config, dataset, Chain.of(dataset), moment, graph)
    if len(known.interest.pair_names) != model.shape.pair_features:
        remedy = "Train again, or use the version that made it."
        raise InputError("this run was trained on other evidence", where=str(folder), remedy=remedy)
    module = InterestModule(model, bank, plan, [], config.optimiser, False, None).eval()
    scorer = CrossAisleScorer(module, known)
    return LoadedRun(folder.name, config, dataset, schema_of(dataset), scorer, load_cold(folder))


def _later(protocol: ProtocolConfig, cutoff: int, dataset: Dataset) -> ProtocolConfig:
    """The protocol with another test cut-off; the run's own stays among the cut-offs that the graph is loaded for."""
    last = int(dataset.log.time[-1])
    if not protocol.test_cutoff <= cutoff <= last + 1:
        remedy = f"Give one from {protocol.test_cutoff}, the run's test cut-off, to {last + 1}, the end of the data."
        raise InputError(f"{cutoff} is no moment that the run can be asked at", where="cutoff", remedy=remedy)
    return replace(protocol, test_cutoff=cutoff, refit_cutoffs=sorted({*protocol.refit_cutoffs, protocol.test_cutoff}))


def read_config(path: Path) -> TrainConfig:
    """The resolved configuration that a run keeps.

    Raises:
        InputError: the file is missing, or of another version.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(TrainConfig, as_group=False)
    try:
        return from_parsed(parser, parser.parse_path(path))
    except Exception as error:  # jsonargparse raises several kinds
        raise InputError(f"cannot be read: {error}", where=str(path), remedy="Give a run of this version.") from error
