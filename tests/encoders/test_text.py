"""The text encoder: pooling, padding, strategies, what is saved, errors."""

import time

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from encoders.text import TextConfig, TextEncoder
from encoders.text_split import LayerSplit
from encoders.text_tuning import layers_of
from errors import InputError

TEXTS = [
    "FROZEN PIZZA, 12 OZ",
    "milk",
    "soft drinks: cola 2 ltr bottle, national brand",
    "Käse 🧀 奶酪",
    "milk",
]
KINDS = ["bert", "llama", "mistral", "gpt2"]


def fast(**settings):
    return TextConfig(precision="fp32", **settings)


def step(encoder, texts=TEXTS):
    before = {n: p.detach().clone() for n, p in encoder.model.named_parameters()}
    optimiser = torch.optim.SGD([p for p in encoder.parameters() if p.requires_grad], lr=0.5)
    for _ in range(2):  # an adapter's A moves only once its B has
        optimiser.zero_grad()
        encoder(texts)[:, :5].sum().backward()
        optimiser.step()
    return {n for n, p in encoder.model.named_parameters() if not torch.equal(p, before[n])}


# --- vectors -------------------------------------------------------------------------------------------


def test_mean_pooling_is_that_of_sentence_transformers(minilm):
    encoder = minilm(strategy="frozen")
    batch = encoder._tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = encoder.model(**batch).last_hidden_state
    weight = batch["attention_mask"][..., None]
    expected = functional.normalize((hidden * weight).sum(1) / weight.sum(1), dim=1)
    torch.testing.assert_close(encoder.encode(TEXTS), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_pooling_by_hand_one_text_at_a_time(tiny, kind, pooling):
    encoder = TextEncoder(fast(model=tiny(kind), pooling=pooling, strategy="frozen"))
    texts = ["red wine", "fresh bread butter cheese milk", "cat food oz"]
    for text, vector in zip(texts, encoder.encode(texts), strict=True):
        ids = torch.tensor([encoder._tokenizer(text)["input_ids"]])
        with torch.no_grad():
            hidden = encoder.model(input_ids=ids).last_hidden_state[0]
        expected = {"mean": hidden.mean(0), "cls": hidden[0], "last": hidden[-1]}[pooling]
        torch.testing.assert_close(vector, functional.normalize(expected, dim=0), atol=1e-5, rtol=0)


def test_a_text_alone_equals_the_same_in_a_batch(minilm):
    encoder = minilm(strategy="frozen")
    together = encoder.encode(TEXTS)
    alone = torch.cat([encoder.encode([text]) for text in TEXTS])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    assert torch.equal(together, encoder.encode(TEXTS))


def test_small_batches_give_the_same(minilm):
    encoder = minilm(strategy="frozen")
    expected = encoder.encode(TEXTS * 3)
    encoder.config = fast(strategy="frozen", batch_tokens=20)
    torch.testing.assert_close(encoder.encode(TEXTS * 3), expected, atol=1e-5, rtol=0)


def test_length_one_and_blank_texts_zero(minilm):
    vectors = minilm(strategy="frozen").encode(["milk", "", "  \n"])
    assert vectors.shape == (3, 384)
    assert vectors.norm(dim=1).tolist() == pytest.approx([1, 0, 0], abs=1e-5)


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_nothing_to_encode(minilm, texts):
    assert minilm(strategy="frozen").encode(texts).tolist() == [[0.0] * 384] * len(texts)


def test_blank_texts_leave_the_gradient_finite(tiny):
    encoder = TextEncoder(fast(model=tiny("bert"), strategy="full"))
    encoder(["red wine", ""])[:, :3].sum().backward()
    assert all(p.grad.isfinite().all() for p in encoder.parameters() if p.grad is not None)


def test_unicode_and_very_long_texts(minilm):
    encoder = minilm(strategy="frozen")
    texts = ["\u200b\ud7ff\U0001f9c0" * 50, "خبز 面包 хлеб", "bread " * 20_000]
    assert encoder.tokenize(texts).lengths.max() == 64
    assert encoder.encode(texts).isfinite().all()


def test_related_texts_are_nearer(minilm):
    a, b, c = minilm(strategy="frozen").encode(["cheddar cheese", "mozzarella", "motor oil"])
    assert a @ b > a @ c


def test_bf16_is_close(minilm):
    low = TextEncoder(TextConfig(strategy="frozen", precision="bf16"))
    assert (low.encode(TEXTS) * minilm(strategy="frozen").encode(TEXTS)).sum(1).min() > 0.999


# --- strategies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "tuned"),
    [
        ({"strategy": "lora"}, lambda n: "lora_" in n and ("layer.4." in n or "layer.5." in n)),
        ({"strategy": "lora", "lora_layers": 0}, lambda n: "lora_" in n),
        ({"strategy": "top"}, lambda n: "layer.5." in n),
        ({"strategy": "top", "top_layers": 2}, lambda n: "layer.4." in n or "layer.5." in n),
        ({"strategy": "full"}, lambda n: not n.startswith("pooler.")),
    ],
)
def test_exactly_the_tuned_weights_get_gradient(minilm, settings, tuned):
    encoder = minilm(**settings)
    encoder(TEXTS)[:, 0].sum().backward()
    names = {n for n, p in encoder.model.named_parameters() if p.grad is not None}
    assert names == {n for n, _ in encoder.model.named_parameters() if tuned(n)}
    assert encoder.tunable


@pytest.mark.parametrize("kind", [*KINDS, "albert"])
@pytest.mark.parametrize("strategy", ["lora", "full"])
def test_a_step_changes_the_tuned_weights_alone(tiny, kind, strategy):
    encoder = TextEncoder(fast(model=tiny(kind), strategy=strategy, pooling="last"))
    changed = step(encoder, ["red wine", "fresh bread butter", "cat food"])
    assert changed
    assert changed <= set(encoder.trainable_state())
    if strategy == "lora":
        assert changed == set(encoder.trainable_state())


def test_frozen_has_nothing_to_tune(minilm):
    encoder = minilm(strategy="frozen")
    assert not encoder.tunable
    assert not encoder(TEXTS).requires_grad
    assert encoder.trainable_state() == {}


@pytest.mark.parametrize("strategy", ["frozen", "top", "full"])
def test_the_language_model_has_no_dropout_in_training(minilm, strategy):
    parent = nn.Sequential(minilm(strategy=strategy)).train()
    assert not any(m.training for m in parent[0].model.modules())
    torch.testing.assert_close(parent[0](TEXTS), parent[0].encode(TEXTS), atol=1e-6, rtol=0)


def test_adapters_drop_out_in_training_only(minilm):
    encoder = minilm(strategy="lora", lora_dropout=0.5)
    step(encoder)
    assert not torch.allclose(encoder(TEXTS), encoder(TEXTS), atol=1e-4)
    assert torch.equal(encoder.encode(TEXTS), encoder.encode(TEXTS))
    assert encoder.training
    assert torch.equal(encoder.eval()(TEXTS), encoder(TEXTS))


def test_untuned_adapters_change_nothing(minilm):
    expected = minilm(strategy="frozen").encode(TEXTS)
    torch.testing.assert_close(minilm(strategy="lora").encode(TEXTS), expected, atol=1e-6, rtol=0)


def test_merged_adapters_give_the_same(minilm):
    encoder = minilm(strategy="lora")
    step(encoder)
    expected = encoder.encode(TEXTS)
    encoder.merge()
    assert not any("lora" in name for name, _ in encoder.named_modules())
    torch.testing.assert_close(encoder.encode(TEXTS), expected, atol=1e-5, rtol=0)


def test_folding_for_many_texts_is_undone_exactly(minilm):
    encoder = minilm(strategy="lora")
    step(encoder)
    before = {n: p.detach().clone() for n, p in encoder.model.named_parameters()}
    many = encoder.encode(TEXTS * 20)[: len(TEXTS)]
    torch.testing.assert_close(many, encoder.encode(TEXTS), atol=1e-5, rtol=0)
    assert all(torch.equal(before[n], p) for n, p in encoder.model.named_parameters())


# --- activations below the tuned layers ----------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"strategy": "lora"}, {"strategy": "top", "top_layers": 3}])
def test_kept_activations_give_the_same_vectors_and_gradients(minilm, settings):
    encoder = minilm(**settings).eval()
    step(encoder)
    tokens = encoder.tokenize(["", *TEXTS])
    below = encoder.activations(tokens)
    rows = torch.tensor([3, 0, 1, 4])
    for _ in range(2):
        kept, anew = encoder(tokens, rows, below), encoder(tokens, rows)
        torch.testing.assert_close(kept, anew, atol=1e-5, rtol=0)
    tuned = list(encoder._tuned().values())
    weight = torch.randn(4, 384, generator=torch.Generator().manual_seed(0))
    for a, b in zip(
        torch.autograd.grad((kept * weight).sum(), tuned),
        torch.autograd.grad((anew * weight).sum(), tuned),
        strict=True,
    ):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_kept_activations_of_other_models(tiny, kind):
    encoder = TextEncoder(fast(model=tiny(kind), strategy="top", pooling="last"))
    tokens = encoder.tokenize(["red wine", "fresh bread butter cheese", "milk"])
    below = encoder.activations(tokens)
    assert below is not None
    torch.testing.assert_close(encoder.encode(tokens, below=below), encoder.encode(tokens), atol=1e-5, rtol=0)


def test_lower_layers_run_once_per_text(minilm):
    encoder = minilm(strategy="top")
    tokens = encoder.tokenize(TEXTS)
    below = encoder.activations(tokens)
    compute, seen = below._compute, []
    below._compute = lambda rows: seen.extend(rows.tolist()) or compute(rows)
    for _ in range(3):
        encoder.encode(tokens, below=below)
    assert sorted(seen) == list(range(len(TEXTS)))


def test_the_split_restores_the_layers(minilm):
    encoder = minilm(strategy="top")
    assert not any("forward" in layer.__dict__ for layer in layers_of(encoder.model))


def test_no_activations_where_they_cannot_be_kept(minilm, tiny):
    tokens = minilm(strategy="full").tokenize(TEXTS)
    assert minilm(strategy="full").activations(tokens) is None
    assert minilm(strategy="frozen").activations(tokens) is None
    assert minilm(strategy="lora", activation_mb=0).activations(tokens) is None
    shared = TextEncoder(fast(model=tiny("albert"), strategy="lora"))
    assert shared.activations(shared.tokenize(["milk"])) is None


def test_a_model_that_mixes_layers_is_not_cut():
    class Skipping(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
            self.table = nn.Embedding(9, 4)

        def forward(self, input_ids, attention_mask):
            first = hidden = self.layers[0](self.table(input_ids))
            for layer in self.layers[1:]:
                hidden = layer(hidden) + first
            return type("Output", (), {"last_hidden_state": hidden})

    model = Skipping()
    ids = torch.tensor([[1, 2, 3]])
    assert LayerSplit.proved(model, model.layers, 2, ids) is None
    assert LayerSplit.proved(model, model.layers, 1, ids) is not None


# --- saving --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["lora", "top"])
def test_tuned_weights_come_back(minilm, tmp_path, strategy):
    encoder = minilm(strategy=strategy)
    step(encoder)
    save_file(encoder.trainable_state(), tmp_path / "text.safetensors")
    other = minilm(strategy=strategy)
    assert not torch.allclose(other.encode(TEXTS), encoder.encode(TEXTS), atol=1e-4)
    other.load_trainable_state(load_file(tmp_path / "text.safetensors"))
    assert torch.equal(other.encode(TEXTS), encoder.encode(TEXTS))
    assert (tmp_path / "text.safetensors").stat().st_size < 8_000_000


def test_state_dict_of_a_parent_holds_the_tuned_weights_alone(minilm):
    parent = nn.ModuleDict({"head": nn.Linear(2, 2), "text": minilm(strategy="lora")})
    step(parent["text"])
    state = parent.state_dict()
    assert {n for n in state if n.startswith("text.")} == {f"text.model.{n}" for n in parent["text"]._tuned()}
    other = nn.ModuleDict({"head": nn.Linear(2, 2), "text": minilm(strategy="lora")})
    other.load_state_dict(state)
    assert torch.equal(other["text"].encode(TEXTS), parent["text"].encode(TEXTS))
    del state["head.weight"], state[next(n for n in state if "lora_A" in n)]
    with pytest.raises(RuntimeError, match=r"head\.weight.*lora_A"):
        other.load_state_dict(state)


def test_weights_that_do_not_fit_are_refused(minilm):
    state = minilm(strategy="lora", lora_rank=4).trainable_state()
    encoder = minilm(strategy="lora")
    before = encoder.trainable_state()
    with pytest.raises(InputError, match="do not fit"):
        encoder.load_trainable_state(state)
    with pytest.raises(InputError, match="do not fit"):
        encoder.load_trainable_state({})
    assert all(torch.equal(before[n], p) for n, p in encoder.trainable_state().items())


def test_fingerprint_tells_models_apart(minilm, tiny):
    frozen, lora = minilm(strategy="frozen"), minilm(strategy="lora")
    assert frozen.fingerprint() == lora.fingerprint()
    assert minilm(strategy="frozen", pooling="cls").fingerprint() != frozen.fingerprint()
    assert TextEncoder(fast(model=tiny("bert"))).fingerprint() != frozen.fingerprint()
    step(lora)
    assert lora.fingerprint() != frozen.fingerprint()


# --- errors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nobody/no-such-model", "./no/such/folder", "not a name!"])
def test_a_model_that_cannot_be_loaded_is_told_quickly(name, monkeypatch):
    monkeypatch.setattr("encoders.text_model.constants.HF_HUB_OFFLINE", True)
    begin = time.perf_counter()
    with pytest.raises(InputError, match="local folder"):
        TextEncoder(TextConfig(model=name))
    assert time.perf_counter() - begin < 10


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(InputError, match="cannot be loaded"):
        TextEncoder(TextConfig(model=str(tmp_path)))


def test_damaged_weights(tiny, tmp_path):
    import shutil

    folder = shutil.copytree(tiny("bert"), tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be loaded"):
        TextEncoder(TextConfig(model=str(folder)))


def test_top_layers_that_are_not_there(tiny):
    with pytest.raises(InputError, match="the model has 3"):
        TextEncoder(TextConfig(model=tiny("bert"), strategy="top", top_layers=4))
    with pytest.raises(InputError, match="cannot be found"):
        TextEncoder(TextConfig(model=tiny("albert"), strategy="top"))


@pytest.mark.parametrize(
    ("field", "value"),
    [("pooling", "max"), ("strategy", "half"), ("lora_rank", 0), ("sample", 0), ("lora_dropout", 1.0)],
)
def test_impossible_settings(field, value):
    with pytest.raises(InputError, match=f"text.{field}"):
        TextConfig(**{field: value})


def test_loading_says_nothing(capfd):
    TextEncoder(TextConfig()).encode(["milk " * 1000], progress=False)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
