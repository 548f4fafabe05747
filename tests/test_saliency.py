"""Where a network looks: xGradCAM against its formula, thresholds by hand, layers by name."""

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_hsfm.extraction._saliency import (
    Saliency,
    brought_to,
    map_layer,
    most_salient,
    xgradcam,
)
from tests.small_network import Small


@pytest.fixture
def batch():
    return torch.rand(5, 3, 12, 10, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Small().eval()


def test_xgradcam_is_its_formula():
    rng = np.random.RandomState(0)
    maps, slope = rng.uniform(size=(2, 3, 4, 5, 6)) - [[[[[0]]]], [[[[0.5]]]]]
    out = np.zeros((3, 5, 6))
    for i in range(3):
        for k in range(4):
            share = maps[i, k] / maps[i, k].sum()
            out[i] += (share * slope[i, k]).sum() * maps[i, k]
    found = xgradcam(torch.from_numpy(maps), torch.from_numpy(slope))
    np.testing.assert_allclose(found.numpy(), np.maximum(out, 0), rtol=1e-5, atol=1e-8)


def test_behind_a_mean_it_is_the_class_activation_map(batch):
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    ).eval()
    salient, logits = Saliency(network, "auto", batch)(batch, torch.arange(5) % 3)
    with torch.no_grad():
        maps = network[:2](batch)
        # The gradient of a mean is the same everywhere: the weights of the last layer are left.
        cam = torch.einsum("nk,nkhw->nhw", network[4].weight[torch.arange(5) % 3], maps)
        cam = cam.relu() / maps[0, 0].numel()
    np.testing.assert_allclose(salient, cam, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(logits, network(batch).detach(), atol=1e-6)


def test_the_largest_logit_is_explained_where_no_class_is_named(network, batch):
    saliency = Saliency(network, "auto", batch)
    salient, logits = saliency(batch)
    np.testing.assert_array_equal(salient, saliency(batch, logits.argmax(1))[0])
    assert not torch.equal(salient, saliency(batch, 1 - logits.argmax(1))[0])
    assert not network.stem._forward_hooks
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_network_has_saliency_as_well(network, batch, frozen):
    network.requires_grad_(not frozen)
    with torch.no_grad():
        salient, _ = Saliency(network, "norm", batch)(batch)
    assert salient.shape == (5, 5, 4)
    assert (salient > 0).any()


def test_maps_that_are_changed_in_place(batch):
    torch.manual_seed(0)
    layers = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    several = [
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=i), *layers) for i in (False, True)
    ]
    several[1].load_state_dict(several[0].state_dict())
    plain, in_place = (Saliency(network.eval(), "0", batch)(batch)[0] for network in several)
    np.testing.assert_allclose(in_place, plain)
    assert (plain > 0).any()


def test_the_threshold_by_hand():
    rng = np.random.RandomState(0)
    salient = np.maximum(rng.normal(size=(3, 8, 8)) ** 3, 0)
    salient[2] = 0
    found = most_salient(torch.from_numpy(salient), 2.0).numpy()
    for image, mask in zip(salient[:2], found[:2], strict=True):
        positive = image[image > 0]
        assert np.array_equal(mask, image > positive.mean() + 2 * positive.std())
        assert mask.any()
    assert not found[2].any()


def test_maps_are_brought_to_the_size_of_the_image():
    out = brought_to(torch.tensor([[[1.0, 3.0]]]), (2, 4))
    np.testing.assert_allclose(out[0], [[1, 1.5, 2.5, 3]] * 2)


def test_layers_are_found_and_named(network, batch):
    assert map_layer(network, "auto", batch) == "norm"
    assert map_layer(network, "stem", batch) == "stem"
    # The dropout behind the mean gives vectors, so it is not offered.
    with pytest.raises(ValueError, match=r"'fc' gives no maps; .* one of: stem, norm\.$"):
        map_layer(network, "fc", batch)
    with pytest.raises(ValueError, match="'head' took no part"):
        map_layer(network, "head", batch)
    with pytest.raises(ValueError, match="needs a convolutional network"):
        map_layer(nn.Sequential(nn.Flatten(), nn.Linear(360, 2)), "auto", batch)
