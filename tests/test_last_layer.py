"""What enters the last layer: of published networks, of those without a head, and of odd ones."""

import importlib.util

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models

from sklearn_hsfm.extraction import FeatureExtractor
from sklearn_hsfm.extraction._backbones import load_network
from sklearn_hsfm.extraction._last_layer import find_tap, last_layer, tapped
from tests.small_network import to_float

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def pixels():
    return np.random.RandomState(0).randint(256, size=(2, 64, 64, 3), dtype=np.uint8)


def width(network, pixels, **options):
    return FeatureExtractor(network, weights=None, **options).fit(pixels).n_features_out_


TORCHVISION = {
    "alexnet": 4096,
    "densenet121": 1024,
    "efficientnet_b0": 1280,
    "mnasnet0_5": 1280,
    "mobilenet_v2": 1280,
    "mobilenet_v3_small": 1024,
    "regnet_y_400mf": 440,
    "resnet18": 512,
    "shufflenet_v2_x0_5": 1024,
    "squeezenet1_0": 512,  # its last layer is a convolution of 1 x 1, and a mean
    "convnext_tiny": 768,
    "swin_t": 768,
    "vit_b_16": 768,
    "googlenet": 1024,
    "inception_v3": 2048,
    "maxvit_t": 512,
    "resnext50_32x4d": 2048,
    "swin_v2_t": 768,
    "vgg11": 4096,
}
SLOW = {"googlenet", "inception_v3", "maxvit_t", "resnext50_32x4d", "swin_v2_t", "vgg11"}


@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=slow if n in SLOW else ()) for n in TORCHVISION]
)
def test_networks_of_torchvision(name, pixels):
    network = models.get_model(name, weights=None).eval()
    batch = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    last = last_layer(network, batch)
    with torch.inference_mode():
        expected = network(batch)
        # The features are what the last layer multiplies, whatever comes between.
        features = tapped(network, last.tap)(batch)
    assert features.shape == (2, TORCHVISION[name])
    if not last.tap.space:
        with torch.inference_mode():
            product = F.linear(features, last.module.weight, last.module.bias)
        torch.testing.assert_close(product, expected, rtol=1e-3, atol=1e-4)


def headless(name):
    """Return a network without its head, taken off in the usual way."""
    network = models.get_model(name, weights=None)
    if name.startswith("vit"):
        network.heads = nn.Identity()
    elif name.startswith("swin"):
        network.head = nn.Identity()
    elif name.startswith("convnext"):
        network.classifier[2] = nn.Identity()
    elif name.startswith("mobilenet"):
        network.classifier = nn.Identity()
    else:
        network.fc = nn.Identity()
    return network


@pytest.mark.parametrize(
    ("name", "n_features"),
    [("resnet18", 512), ("mobilenet_v2", 1280), ("convnext_tiny", 768), ("swin_t", 768),
     ("vit_b_16", 768)],
)  # fmt: skip
def test_networks_without_a_head(name, n_features, pixels):
    extractor = FeatureExtractor(headless(name), weights=None).fit(pixels)
    assert extractor.n_features_out_ == n_features
    assert extractor.layer_ == "output of the network"


@pytest.mark.parametrize(
    ("name", "layer", "n_features", "space"),
    [
        ("swin_t", "features", 768, (1, 2)),  # channels last
        ("swin_t", "features.3", 192, (1, 2)),
        ("convnext_tiny", "features", 768, (2, 3)),
        ("resnet18", "layer2", 128, (2, 3)),
        ("resnet18", "avgpool", 512, (2, 3)),
        ("densenet121", "features", 1024, (2, 3)),
        ("vit_b_16", "encoder", 768, (1,)),
        ("vit_b_16", "encoder.layers.encoder_layer_3", 768, (1,)),
    ],
)
def test_named_layers_are_averaged_over_space(name, layer, n_features, space, pixels):
    extractor = FeatureExtractor(name, weights=None, layer=layer).fit(pixels)
    assert extractor.n_features_out_ == n_features
    assert extractor._tap.space == space


@pytest.mark.parametrize(
    ("name", "n_features", "options"),
    [
        ("resnet18", 512, {}),
        ("vit_tiny_patch16_224", 192, {}),
        ("convnext_atto", 320, {}),
        ("efficientnet_lite0", 1280, {}),
        ("vit_small_patch14_dinov2", 384, {}),
        ("vit_tiny_patch16_224", 192, {"num_classes": 0}),
        ("convnext_atto", 320, {"num_classes": 0}),
        ("swin_tiny_patch4_window7_224", 768, {"num_classes": 0}),
        ("efficientnet_lite0", 1280, {"num_classes": 0}),
    ],
)
def test_networks_of_timm(name, n_features, options, pixels):
    if importlib.util.find_spec("timm") is None:
        pytest.skip("the extra [timm] is absent")
    import timm

    network = timm.create_model(name, **options) if options else f"timm:{name}"
    assert width(network, pixels) == n_features


@pytest.mark.parametrize(("name", "n_features"), [("ViT-B-32", 512), ("RN50", 1024)])
def test_networks_of_open_clip(name, n_features, pixels):
    if importlib.util.find_spec("open_clip") is None:
        pytest.skip("the extra [clip] is absent")
    assert width(f"open_clip:{name}", pixels) == n_features


# Networks of one's own.


class Own(nn.Module):
    """Maps, pooled and multiplied; what comes of them is up to ``end``."""

    def __init__(self, end=lambda self, maps: self.fc(maps.mean((2, 3)))):
        super().__init__()
        self.fc, self.end = nn.Linear(8, 5), end  # the head is defined first and used last
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU())
        self.neck, self.conv = nn.Linear(8, 8), nn.Conv2d(8, 5, 1)

    def forward(self, x):
        return self.end(self, self.stem(x))


def mean(maps):
    return maps.mean((2, 3))


BATCH = torch.rand(2, 3, 12, 10, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("end", "tap"),
    [
        (lambda self, maps: self.fc(mean(maps)), ("fc", True, ())),
        (lambda self, maps: self.fc(self.neck(mean(maps)).relu()), ("fc", True, ())),
        (lambda self, maps: self.fc(mean(maps)).log_softmax(1), ("fc", True, ())),
        (lambda self, maps: self.fc(mean(maps)).softmax(1), ("fc", True, ())),
        (lambda self, maps: self.fc(mean(maps))[:, :, None, None], ("fc", True, ())),
        (lambda self, maps: {"logits": self.fc(mean(maps)), "maps": maps}, ("fc", True, ())),
        (lambda self, maps: (mean(maps), self.fc(mean(maps))), ("fc", True, ())),
        (lambda self, maps: self.fc(maps.flatten(2).mT).mean(1), ("fc", True, (1,))),
        (lambda self, maps: mean(self.conv(maps)), ("conv", True, (2, 3))),
        (lambda self, maps: mean(self.conv(maps).relu()), ("conv", True, (2, 3))),
        (lambda self, maps: mean(maps), ("", False, ())),
        (lambda self, maps: maps.mean((2, 3), keepdim=True), ("", False, (2, 3))),
        (
            lambda self, maps: self.neck(maps.mT.mT.movedim(1, 3)).mean((1, 2)),
            ("neck", True, (1, 2)),
        ),
    ],
)
def test_the_last_layer_is_the_one_that_gives_the_output(end, tap):
    network = Own(end).eval()
    found = find_tap(network, "pool", BATCH)
    assert tuple(found) == tap
    with torch.no_grad():
        expected = mean(network.stem(BATCH))
        if "neck" in end.__code__.co_names and found.module == "fc":
            expected = network.neck(expected).relu()
        torch.testing.assert_close(tapped(network, found)(BATCH), expected)


def test_what_was_not_trained_proves_nothing():
    """Fresh batch normalisation changes nothing: a convolution before it is no last layer."""
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6), nn.ReLU())
    network = nn.Sequential(network, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    assert tuple(find_tap(network, "pool", BATCH)) == ("", False, ())


def test_scores_that_are_changed_behind_the_last_layer_are_said():
    network = Own(lambda self, maps: self.fc(mean(maps)) + self.fc(mean(maps) * 2)).eval()
    with pytest.warns(UserWarning, match=r"the 5 numbers .* what 'fc' gives is changed"):
        assert tuple(find_tap(network, "pool", BATCH)) == ("", False, ())


@pytest.mark.parametrize(
    ("end", "layer", "message"),
    [
        (lambda self, maps: maps, "pool", r"returns \(2, 8, 5, 4\).*or one of: fc, stem, neck"),
        (lambda self, maps: None, "pool", "returns no tensor"),
        (lambda self, maps: (maps, maps), "output", "gives a tuple of 2 tensors"),
        (lambda self, maps: maps.flatten(2), "output", "nothing tells which axis"),
        (lambda self, maps: maps, "neck", "took no part in the forward pass"),
        (lambda self, maps: maps, "absent", "layer='absent' is no module"),
        (lambda self, maps: maps.sum(), "output", r"gives shape \(\) for 2 images"),
        (lambda self, maps: self.fc(maps), "pool", r"fails on an image that is \(3, 12, 10\)"),
    ],
)
def test_what_cannot_be_told_is_refused(end, layer, message):
    with pytest.raises(ValueError, match=message):
        find_tap(Own(end).eval(), layer, BATCH)


def test_a_forward_of_another_kind_is_refused():
    network = Own().eval()
    features = tapped(network, find_tap(network, "stem", BATCH))
    assert features(BATCH).shape == (2, 8)
    network.end = lambda self, maps: None
    network.forward = lambda x: None
    with pytest.raises(ValueError, match="'stem' took no part in this forward pass"):
        features(BATCH)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_scripted_networks_are_refused(pixels):
    scripted = torch.jit.trace(nn.Conv2d(3, 2, 1), BATCH)
    with pytest.raises(TypeError, match=r"scripted or traced.* Pass the module"):
        width(scripted, pixels, preprocess=lambda image: image)


# What belongs before a network.


def test_networks_of_ones_own_need_their_preprocessing(pixels):
    with pytest.raises(ValueError, match=r"does not know what a Own was trained with.*Pass a func"):
        FeatureExtractor(Own()).fit(pixels)
    floats = torch.randn(4, 3, 12, 10)  # ready for the network, whatever their range
    network = Own()
    with torch.no_grad():
        expected = mean(network.eval().stem(floats))
    for preprocess in ("auto", None):
        extractor = FeatureExtractor(network, preprocess=preprocess, precision="float32")
        np.testing.assert_allclose(extractor.fit_transform(floats), expected, atol=1e-6)


def test_floats_are_in_their_range(pixels):
    raw = pixels.transpose(0, 3, 1, 2).astype(np.float32)
    extractor = FeatureExtractor("resnet18", weights=None, precision="float32")
    right = extractor.fit_transform(pixels)
    np.testing.assert_allclose(
        extractor.transform(raw / 255), right, atol=0.05
    )  # resized as floats
    for wrong in (raw, raw / 127.5 - 1):
        with pytest.raises(ValueError, match=r"image 0 .*floats lie in \[0, 1\].* preprocess=None"):
            extractor.transform(wrong)


def test_a_data_set_that_transforms_its_images_is_not_transformed_again(pixels, tmp_path):
    from PIL import Image
    from torchvision import datasets

    for i, image in enumerate(pixels):
        (tmp_path / f"{i}").mkdir()
        Image.fromarray(image).save(tmp_path / f"{i}" / "x.png")
    usual = models.ResNet18_Weights.DEFAULT.transforms()
    plain = FeatureExtractor("resnet18", weights=None, precision="float32").fit(pixels)
    right = plain.transform(pixels)
    raw, ready = datasets.ImageFolder(tmp_path), datasets.ImageFolder(tmp_path, usual)
    np.testing.assert_allclose(plain.transform(raw), right, atol=1e-5)
    with pytest.raises(ValueError, match=r"preprocessed already.*preprocess=None"):
        plain.transform(ready)
    untouched = plain.set_params(preprocess=None).fit(ready)
    np.testing.assert_allclose(untouched.transform(ready), right, atol=1e-5)
    with pytest.raises(ValueError, match="with preprocess=None images are float tensors"):
        untouched.transform(pixels)


# Networks that give no features of an image.


def test_features_are_those_of_an_image_alone(pixels):
    class Beside(nn.Module):
        def forward(self, x):
            return x.mean((2, 3)) - x.mean((0, 2, 3))

    for network in (Beside(), nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), Own())):
        extractor = FeatureExtractor(network, preprocess=to_float)
        with pytest.raises(ValueError, match=r"depend on the images beside it.*batch_size=1"):
            extractor.fit(pixels)
    alone = FeatureExtractor(network, preprocess=to_float, batch_size=1).fit(pixels)
    assert np.array_equal(alone.transform(pixels)[:1], alone.transform(pixels[:1]))


@pytest.mark.filterwarnings("ignore:layer='pool'")  # of numbers that are none nothing is proven
def test_features_are_finite(pixels):
    network = Own()
    extractor = FeatureExtractor(network, preprocess=lambda image: to_float(image).log())
    with pytest.raises(ValueError, match=r"gives for image 0 \(sample 0 of 2\) is not finite"):
        extractor.fit(pixels * 0)
    light = np.maximum(pixels, np.uint8(1))
    extractor.fit(light)
    with pytest.raises(ValueError, match=r"gives for image 2 \(sample 2 of 3\) is not finite"):
        extractor.transform(np.concatenate([light, pixels[:1] * 0]))


def test_backbones_that_are_none(pixels):
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression().fit([[0], [1]], [0, 1])
    with pytest.raises(
        TypeError, match=r"must be the name of a network, a torch module, or an est"
    ):
        load_network(fitted, "DEFAULT", "auto")
    with pytest.raises(ValueError, match="layer='' is no module"):
        FeatureExtractor(Own(), layer="", preprocess=to_float).fit(pixels)


def test_a_black_image_proves_nothing_by_itself(pixels):
    """Without intercepts it gives zeros in each layer, and zeros are the product of zeros."""

    class NoIntercepts(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.side = nn.Linear(3, 5, bias=False), nn.Linear(3, 5, bias=False)

        def forward(self, x):
            logits = self.fc(mean(x))
            return logits + 0 * self.side(mean(x))  # called last, and without a say

    extractor = FeatureExtractor(NoIntercepts(), preprocess=to_float).fit(pixels * 0)
    assert extractor.layer_ == "input of fc"


def test_images_that_are_drawn_at_random_are_said(pixels):
    from torchvision import transforms

    drawn = transforms.Compose([transforms.ToTensor(), transforms.RandomErasing(p=1.0)])
    with pytest.warns(UserWarning, match=r"image 0 \(sample 0 of 2\) is another each time"):
        FeatureExtractor(Own(), preprocess=drawn).fit(pixels)
