from __future__ import annotations

import torch

from fusion.standard import Standardise


def fitted(*samples):
    scale = Standardise(samples[0].shape[-1])
    scale.fit(list(samples))
    return scale


def test_mean_zero_and_spread_one():
    x = torch.randn(500, 3) * torch.tensor([5.0, 0.1, 2.0]) + torch.tensor([9.0, -3.0, 0.0])
    out = fitted(x)(x)
    torch.testing.assert_close(out.mean(dim=0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std(dim=0, unbiased=False), torch.ones(3), atol=0.02, rtol=0)


def test_a_constant_becomes_zero():
    x = torch.tensor([[4.0, 1.0], [4.0, 3.0]])
    out = fitted(x)(torch.tensor([[4.0, 1.0], [99.0, 3.0]]))
    torch.testing.assert_close(out, torch.tensor([[0.0, -1.0], [0.0, 1.0]]))


def test_the_far_out_is_clipped():
    x = torch.tensor([[0.0], [2.0]])
    torch.testing.assert_close(fitted(x)(torch.tensor([[1e9], [-1e9]])), torch.tensor([[6.0], [-6.0]]))


def test_each_sample_counts_equally():
    scale = fitted(torch.zeros(1000, 1), torch.full((2, 1), 4.0))
    torch.testing.assert_close(scale.mean, torch.tensor([2.0]))
    torch.testing.assert_close(1 / scale.scale, torch.tensor([2.0]))


def test_untouched_before_fitting_and_any_shape():
    x = torch.rand(2, 5, 3)
    torch.testing.assert_close(Standardise(3)(x), x)


def test_the_scale_is_saved_with_the_model():
    scale = fitted(torch.randn(20, 2))
    other = Standardise(2)
    other.load_state_dict(scale.state_dict())
    x = torch.randn(4, 2)
    assert torch.equal(other(x), scale(x))
    assert not list(scale.parameters())
