"""Activations that are computed again instead of kept."""

import pytest
import torch
from torch import Tensor

from hfmoe.models.config import HFMoEConfig
from hfmoe.models.network import HFMoE, Perturbation
from hfmoe.train.execution import checkpoint_activations


def gradients(network: HFMoE, image: Tensor, perturb: Perturbation | None) -> list[Tensor]:
    """The image, the losses, a draw after the backward pass, and every gradient."""
    network.zero_grad()
    restored = network(image, perturb=perturb)
    (restored.image.square().mean() + restored.balance + restored.z).backward()
    after = torch.rand(3, generator=perturb.generator) if perturb else torch.zeros(3)
    weights = [weight.grad for weight in network.parameters() if weight.grad is not None]
    return [restored.image.detach(), restored.balance.detach(), restored.z.detach(), after, *weights]


def disturbed() -> Perturbation:
    """Every disturbance at once, and a mean over processes that changes each time it is asked."""
    asked = iter(range(1, 100))
    generator = torch.Generator().manual_seed(3)
    return Perturbation(
        temperature=2.0,
        router_noise=0.5,
        hf_noise=0.1,
        random_expert=0.3,
        drop_path=0.6,
        generator=generator,
        average=lambda load: load + next(asked),
    )


@pytest.mark.parametrize("perturbed", [False, True])
def test_recomputing_changes_neither_output_nor_gradients_nor_draws(config: HFMoEConfig, perturbed: bool):
    torch.manual_seed(0)
    network = HFMoE(config).train()
    image = torch.rand(3, 3, 32, 32)
    kept = gradients(network, image, disturbed() if perturbed else None)
    checkpoint_activations(network)
    again = gradients(network, image, disturbed() if perturbed else None)
    assert len(kept) == len(again)
    assert all(torch.equal(one, other) for one, other in zip(kept, again, strict=True))


def test_recomputing_keeps_fewer_tensors(config: HFMoEConfig):
    network = HFMoE(config).train()
    image = torch.rand(1, 3, 32, 32)
    before = kept_bytes(network, image)
    checkpoint_activations(network)
    assert kept_bytes(network, image) < 0.8 * before


def kept_bytes(network: HFMoE, image: Tensor) -> int:
    """Bytes of the tensors that autograd keeps between forward and backward."""
    sizes = {}

    def keep(tensor: Tensor) -> Tensor:
        sizes[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(image)
    return sum(sizes.values())
