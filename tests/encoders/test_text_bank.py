"""The bank of texts: values from the cache for all alike, gradient through a sample."""

import pytest
import torch

from encoders.text import TextConfig, TextEncoder
from encoders.text_bank import TextBank
from encoders.text_cache import FrozenCache

TEXTS = ["red wine", "milk", "", "fresh bread butter", "milk", " milk ", "cat food", "apples", "soft drinks"]
DISTINCT = 7


def encoder_of(tiny, **settings):
    torch.manual_seed(0)
    settings = {"strategy": "top", "refresh_every": 3, "sample": 3, "precision": "fp32"} | settings
    return TextEncoder(TextConfig(model=tiny("bert"), **settings))


@pytest.fixture
def bank(tiny):
    return TextBank(encoder_of(tiny), TEXTS)


def weights(bank, seed=0):
    return torch.randn(len(TEXTS), bank.dim, generator=torch.Generator().manual_seed(seed))


def tuned(bank):
    return [p for p in bank.parameters() if p.requires_grad]


def gradient(bank, vectors):
    return torch.cat([g.flatten() for g in torch.autograd.grad((vectors * weights(bank)).sum(), tuned(bank))])


def full_gradient(bank):
    return gradient(bank, bank.encoder([text.strip() for text in TEXTS]))


def move(bank):
    with torch.no_grad():
        for parameter in tuned(bank):
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))


def test_distinct_texts_are_kept_once(bank):
    assert len(bank) == len(TEXTS)
    assert len(bank.texts) == DISTINCT
    assert bank.cache.shape == (DISTINCT, bank.dim)
    assert bank.distinct().shape == (DISTINCT, bank.dim)
    torch.testing.assert_close(bank.vectors(), bank.encoder.encode(TEXTS), atol=1e-5, rtol=0)


def test_blank_is_zero_and_never_drawn(bank):
    assert not bank.embed(torch.tensor([2])).any()
    drawn = bank.draw(torch.tensor([2, 2, 0]))
    assert [bank.texts[i] for i in drawn] == ["red wine"]
    assert bank.draw(torch.tensor([2])).tolist() == []


def test_values_are_the_cache_for_all_even_after_the_weights_moved(bank):
    cached = bank.vectors().clone()
    move(bank)
    bank.draw()
    assert torch.equal(bank.vectors(), cached)
    assert torch.equal(bank(torch.tensor([3, 0])), cached[[3, 0]])
    assert bank.vectors().requires_grad


def test_gradient_is_the_full_one_when_all_are_drawn(tiny):
    bank = TextBank(encoder_of(tiny, sample=100), TEXTS)
    assert len(bank.draw()) == DISTINCT - 1
    torch.testing.assert_close(gradient(bank, bank.vectors()), full_gradient(bank), atol=1e-5, rtol=1e-4)


def test_gradient_of_a_sample_is_right_on_average(tiny):
    bank = TextBank(encoder_of(tiny, unbiased=True), TEXTS)
    generator = torch.Generator().manual_seed(0)
    draws = []
    for _ in range(600):
        bank.draw(generator=generator)
        draws.append(gradient(bank, bank.vectors()))
    mean, full = torch.stack(draws).mean(0), full_gradient(bank)
    spread = torch.stack(draws).std(0) / len(draws) ** 0.5
    assert ((mean - full).abs() < 5 * spread + 1e-5).all()
    assert torch.cosine_similarity(mean, full, dim=0) > 0.98


def test_without_scaling_the_gradient_is_the_drawn_part(tiny):
    scaled, plain = (TextBank(encoder_of(tiny, unbiased=u), TEXTS) for u in (True, False))
    found = []
    for bank in (scaled, plain):
        bank.draw(generator=torch.Generator().manual_seed(5))
        found.append(gradient(bank, bank.vectors()))
    torch.testing.assert_close(found[0], found[1] * (DISTINCT - 1) / 3)


def test_only_drawn_candidates_send_gradient(bank):
    drawn = bank.draw(torch.tensor([1, 4, 6]))
    assert sorted(bank.texts[i] for i in drawn) == ["cat food", "milk"]
    others = gradient(bank, bank.embed(torch.tensor([0, 3, 7, 8, 2]))[:, None].expand(-1, 9, -1))
    assert not others.any()
    bank.draw(torch.tensor([1, 4, 6]))
    assert gradient(bank, bank.vectors()).any()


def test_draw_follows_the_generator(bank):
    drawn = [bank.draw(generator=torch.Generator().manual_seed(s)).tolist() for s in (1, 1, 2, 3, 4)]
    assert drawn[0] == drawn[1]
    assert len({tuple(d) for d in drawn}) > 1


def test_no_draw_no_gradient(bank):
    assert not bank.vectors().requires_grad
    bank.draw()
    bank.clear()
    assert not bank.vectors().requires_grad
    with torch.no_grad():
        assert bank.draw().tolist() == []


def test_frozen_never_draws(tiny):
    bank = TextBank(encoder_of(tiny, strategy="frozen"), TEXTS)
    assert bank.draw().tolist() == []
    assert not bank.after_step()
    assert not bank.vectors().requires_grad


def test_refresh_all_and_some(bank):
    before = bank.cache.clone()
    move(bank)
    bank.refresh(torch.tensor([4]))
    changed = (bank.cache != before).any(1)
    assert [bank.texts[i] for i in changed.nonzero().flatten()] == ["milk"]
    bank.refresh()
    torch.testing.assert_close(bank.vectors(), bank.encoder.encode(TEXTS), atol=1e-5, rtol=0)


def test_refresh_every_few_steps(bank):
    move(bank)
    before = bank.cache.clone()
    assert [bank.after_step() for _ in range(3)] == [False, False, True]
    assert not torch.equal(bank.cache, before)


def test_reset_and_drift(bank):
    bank.draw()
    assert bank.drift().item() == pytest.approx(0, abs=1e-8)
    frozen = bank.cache.clone()
    move(bank)
    bank.refresh()
    bank.draw()
    assert bank.drift().item() > 1e-6
    assert bank.drift().requires_grad
    bank.reset()
    assert torch.equal(bank.cache, frozen)
    assert bank.drift().item() == 0


def test_training_moves_the_cached_vectors_towards_the_goal(tiny):
    bank = TextBank(encoder_of(tiny, refresh_every=2), TEXTS)
    optimiser = torch.optim.Adam(tuned(bank), lr=1e-2)
    goal = weights(bank)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(40):
        bank.draw(generator=generator)
        loss = -(bank.vectors() * goal).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        bank.after_step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 1


def test_cost_of_a_step_does_not_grow_with_the_texts(tiny):
    encoder = encoder_of(tiny)
    bank = TextBank(encoder, [f"milk {'oz ' * (i % 50)} {i}" for i in range(400)])
    seen = []
    plain = encoder._vectors
    encoder._vectors = lambda tokens, rows, below: seen.append(len(rows)) or plain(tokens, rows, below)
    bank.draw(torch.arange(300))
    bank.embed(torch.arange(300)).sum().backward()
    bank.after_step()
    assert sum(seen) == 3


def test_saved_with_the_model(tiny):
    bank, other = (TextBank(encoder_of(tiny), TEXTS) for _ in range(2))
    move(bank)
    bank.refresh()
    bank.after_step()
    other.load_state_dict(bank.state_dict())
    assert torch.equal(other.vectors(), bank.vectors())
    assert int(other.steps) == 1
    other.refresh()
    torch.testing.assert_close(other.vectors(), bank.vectors(), atol=1e-6, rtol=0)


def test_minilm_end_to_end(minilm):
    torch.manual_seed(0)
    bank = TextBank(minilm(strategy="lora"), TEXTS)
    bank.draw(generator=torch.Generator().manual_seed(0))
    (bank.vectors() * weights(bank)).sum().backward()
    assert all(p.grad is not None for p in tuned(bank))
    assert any(p.grad.abs().max() > 0 for p in tuned(bank))
    assert torch.equal(bank.vectors().detach(), bank.cache[bank.inverse])


# --- the cache on disk ---------------------------------------------------------------------------------


def counted(encoder):
    seen = []
    plain = encoder._vectors
    encoder._vectors = lambda tokens, rows, below: seen.extend(rows.tolist()) or plain(tokens, rows, below)
    return seen


def test_a_second_run_does_not_encode_again(tiny, tmp_path):
    first = TextBank(encoder_of(tiny), TEXTS, FrozenCache(tmp_path / "deep" / "folder"))
    encoder = encoder_of(tiny, strategy="lora")
    seen = counted(encoder)
    second = TextBank(encoder, [*reversed(TEXTS), "cheese"], FrozenCache(tmp_path / "deep" / "folder"))
    assert [second.texts[i] for i in seen] == ["cheese"]
    torch.testing.assert_close(second.vectors()[: len(TEXTS)].flip(0), first.vectors(), atol=1e-6, rtol=0)
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_file_is_encoded_again(tiny, tmp_path, damage):
    expected = TextBank(encoder_of(tiny), TEXTS, FrozenCache(tmp_path)).vectors()
    (path,) = tmp_path.rglob("*.safetensors")
    data = bytearray(path.read_bytes())
    data[-2] ^= 64
    path.write_bytes({"cut": data[:-9], "flip": data, "empty": b""}[damage])
    for _ in range(2):
        encoder = encoder_of(tiny)
        seen = counted(encoder)
        assert torch.equal(TextBank(encoder, TEXTS, FrozenCache(tmp_path)).vectors(), expected)
        damage_seen = len(seen)
        assert damage_seen in (0, DISTINCT)
    assert damage_seen == 0


def test_other_pooling_is_another_entry(tiny, tmp_path):
    TextBank(encoder_of(tiny), TEXTS, FrozenCache(tmp_path))
    encoder = encoder_of(tiny, pooling="cls")
    seen = counted(encoder)
    TextBank(encoder, TEXTS, FrozenCache(tmp_path))
    assert len(seen) == DISTINCT


def test_no_folder_keeps_nothing(tiny):
    cache = FrozenCache(None)
    cache.put("m", [b"k" * 32], torch.ones(1, 2))
    assert cache.get("m", [b"k" * 32]) == {}


def test_an_empty_bank(tiny):
    assert TextBank(encoder_of(tiny), []).vectors().shape == (0, 16)
