"""Heads go home: into a copy of the network, proven there, or not at all."""

import copy
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn
from torch.nn.utils import parametrizations, prune

from sklearn_hsfm import HSFMClassifier, HSFMClassifierCV, heads, repaired
from sklearn_hsfm.extraction import FeatureExtractor
from sklearn_hsfm.finetuning import ERMClassifier, make_hsfm_pipeline
from tests.small_network import Small, extractor, to_float

D = 8
QUICK = {"epochs": 2, "KH": 1, "T": 1, "support_per_class": 4, "Khard": 4, "random_state": 0}
SEVERAL = LogisticRegression(), heads.ClassBalancedClassifier()
HEADS = [
    HSFMClassifierCV(n_repeats=1, epochs=2, random_state=0),
    HSFMClassifier(**QUICK),
    *[
        getattr(heads, name)(*(SEVERAL if name == "HeadAverager" else ()))
        for name in heads.__all__
        if name not in ("LabelUse", "DPEClassifier")  # whose distances no layer computes
    ],
]


@pytest.fixture
def batch():
    return torch.rand(9, 3, 12, 10, generator=torch.Generator().manual_seed(0))


def features_of(network, images):
    """Return what enters the last layer of a `Small`, by hand."""
    network = copy.deepcopy(network).eval()
    network.fc = nn.Identity()
    with torch.no_grad():
        return network(images).numpy()


def fitted(clf, n_classes=2, width=D):
    rng = np.random.RandomState(n_classes)
    y = np.arange(90) % n_classes
    X = 0.1 * rng.normal(size=(90, width)) + 0.1 * np.eye(width)[y]
    names = np.array(["cat", "dog", "eel"])[y]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of some, about groups that they lack
        if isinstance(clf, LogisticRegression | RidgeClassifier | Pipeline | SVC):
            return clf.fit(X, names)
        if isinstance(clf, heads.ExtraRowsClassifier):
            return clf.fit(X, names)
        return clf.fit(X[:60], names[:60], X[60:], names[60:])


def probabilities(network, batch):
    with torch.no_grad():
        return network(batch).softmax(1).numpy()


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("clf", HEADS, ids=lambda clf: type(clf).__name__)
def test_every_head_goes_to_torch_and_home(clf, n_classes, small, batch):
    clf = fitted(clone(clf), n_classes)
    features = features_of(small, batch)
    layer = clf.to_torch()
    assert layer.weight.shape == (n_classes, D)
    assert layer.weight.dtype == torch.float32
    wanted = clf.predict_proba(features)
    np.testing.assert_allclose(probabilities(layer, torch.tensor(features)), wanted, atol=1e-5)
    before = copy.deepcopy(small.state_dict())
    home = repaired(small, clf, batch)
    np.testing.assert_allclose(probabilities(home, batch), wanted, atol=1e-5)
    assert all(torch.equal(v, before[k]) for k, v in small.state_dict().items())
    assert home.fc.out_features == n_classes
    assert not home.training
    assert small.training


def test_a_layer_is_of_the_type_that_is_asked_for():
    own = fitted(HSFMClassifier(**QUICK))
    layer = own.to_torch("float64")
    np.testing.assert_array_equal((layer.weight[1] - layer.weight[0]).detach(), own.coef_[0])
    assert own.to_torch(torch.bfloat16).weight.dtype == torch.bfloat16
    for dtype in ("int8", "floaty", torch.int64):
        with pytest.raises(ValueError, match="no floating point type"):
            own.to_torch(dtype)
    own.coef_ = own.coef_ * 1e30
    with pytest.raises(ValueError, match=r"too large for torch.float16"):
        own.to_torch("float16")
    state = torch.random.get_rng_state()
    fitted(HSFMClassifier(**QUICK)).to_torch()
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    "clf",
    [
        LogisticRegression(),
        RidgeClassifier(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(StandardScaler(with_mean=False), "passthrough", RidgeClassifier()),
        make_pipeline(StandardScaler(with_std=False), StandardScaler(), LogisticRegression()),
    ],
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_linear_classifiers_and_their_scalers_are_folded_in(clf, n_classes, small, batch):
    clf = fitted(clf, n_classes)
    features = features_of(small, batch)
    for given in (clf, FrozenEstimator(clf)):
        with torch.no_grad():
            found = repaired(small, given, batch)(batch).numpy()
        decision = clf.decision_function(features)
        found = found[:, 1] - found[:, 0] if n_classes == 2 else found
        np.testing.assert_allclose(found, decision, atol=1e-4)


def test_a_search_gives_its_best(small, batch):
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2)
    X = np.random.RandomState(0).normal(size=(40, D))
    search.fit(X, X[:, 0] > 0)
    wanted = search.predict_proba(features_of(small, batch))
    np.testing.assert_allclose(
        probabilities(repaired(small, search, batch), batch), wanted, atol=1e-5
    )


def test_wrapped_networks_are_unwrapped(small, batch):
    clf = fitted(HSFMClassifier(**QUICK))
    wanted = probabilities(repaired(small, clf, batch), batch)
    for wrap in (nn.DataParallel, torch.compile, lambda n: nn.DataParallel(torch.compile(n))):
        home = repaired(wrap(small), clf, batch)
        assert type(home) is Small
        np.testing.assert_array_equal(probabilities(home, batch), wanted)


class Ends(nn.Module):
    """A network of which the last layer and what follows it can be chosen."""

    def __init__(self, last, then=lambda x: x):
        super().__init__()
        self.stem, self.last, self.then = nn.Conv2d(3, D, 3, stride=2), last, then

    def forward(self, x):
        return self.then(self.last(self.stem(x).relu().mean((2, 3))))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("rows", [2, 7])
def test_networks_that_end_in_probabilities(n_classes, rows, batch):
    clf = fitted(HSFMClassifier(**QUICK), n_classes)
    network = Ends(nn.Linear(D, rows, bias=False))
    plain = probabilities(repaired(network, clf, batch), batch)
    for then in (lambda x: x.log_softmax(1), lambda x: x.softmax(1)):
        network.then = then
        with torch.no_grad():
            found = repaired(network, clf, batch)(batch).numpy()
        np.testing.assert_allclose(np.exp(found) if found.min() < 0 else found, plain, atol=1e-6)
    network.then = torch.sigmoid
    with pytest.raises(ValueError, match=r"'last', the network takes the sigmoid"):
        repaired(network, clf, batch)


def test_a_network_of_one_output_keeps_one(batch):
    clf = fitted(HSFMClassifier(**QUICK))
    network = Ends(nn.Linear(D, 1), lambda x: x.squeeze(1))
    with torch.no_grad():
        odds = repaired(network, clf, batch)(batch)
        assert odds.shape == (9,)
        network.then = torch.sigmoid
        proba = repaired(network, clf, batch)(batch)
        home = repaired(network, clf, batch)
    np.testing.assert_allclose(proba[:, 0], torch.sigmoid(odds), atol=1e-6)
    entered = home.stem(batch).relu().mean((2, 3)).detach().numpy()
    np.testing.assert_allclose(odds, clf.decision_function(entered), atol=1e-5)
    with pytest.raises(ValueError, match="no probabilities of 3 classes"):
        repaired(network, fitted(HSFMClassifier(**QUICK), 3), batch)


class Maps(nn.Module):
    """A network whose last layer is a convolution, or works on tokens; a mean comes after."""

    def __init__(self, last, behind=None):
        super().__init__()
        self.stem, self.last, self.behind = nn.Conv2d(3, D, 3), last, behind or nn.Identity()

    def forward(self, x):
        x = self.stem(x).tanh()
        if isinstance(self.last, nn.Linear):
            return self.last(x.flatten(2).mT).mean(1)
        return self.behind(self.last(x)).mean((2, 3))


@pytest.mark.parametrize("last", [nn.Conv2d(D, 5, 1), nn.Linear(D, 5)])
def test_maps_and_tokens_are_averaged_behind_the_layer(last, batch):
    clf = fitted(HSFMClassifier(**QUICK), 3)
    network = Maps(last)
    home = repaired(network, clf, batch)
    entered = network.stem(batch).tanh().mean((2, 3)).detach().numpy()
    np.testing.assert_allclose(probabilities(home, batch), clf.predict_proba(entered), atol=1e-5)
    with pytest.raises(ValueError, match=r"place of 'last' .* such as a ReLU"):
        repaired(Maps(nn.Conv2d(D, 5, 1), nn.ReLU()), clf, batch)


def test_a_network_without_a_head_gets_one_behind_it(small, batch, scenes):
    clf = fitted(HSFMClassifier(**QUICK), 3)
    small.fc = nn.Identity()
    with pytest.raises(ValueError, match="No linear layer of the Small is proven"):
        repaired(small, clf, batch)  # a convolution gives eight numbers, too
    pooled = nn.Conv2d(3, 16, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    small = nn.Sequential(*pooled, nn.Unflatten(1, (2, D)), _Mean(1))
    wanted = clf.predict_proba(small(batch).detach().numpy())
    home = repaired(small, clf, batch)
    assert [name for name, _ in home.named_children()] == ["features", "head"]
    np.testing.assert_allclose(probabilities(home, batch), wanted, atol=1e-5)
    X, y = scenes
    for layer in ("pool", "output"):
        headless = Small()
        if layer == "pool":
            headless.fc = nn.Identity()
        pipe = make_pipeline(extractor(headless, layer=layer), LogisticRegression()).fit(X, y)
        for network in (headless, None):
            home = repaired(network, pipe, X)
            found = probabilities(home, torch.stack([to_float(x) for x in X]))
            np.testing.assert_allclose(found, pipe.predict_proba(X), atol=1e-5)


class _Mean(nn.Module):
    def __init__(self, axis):
        super().__init__()
        self.axis = axis

    def forward(self, x):
        return x.mean(self.axis)


def test_outputs_of_several_tensors(small, batch):
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = small

        def forward(self, x):
            return {"aux": x.mean((2, 3)), "logits": self.network(x)}

    clf = fitted(HSFMClassifier(**QUICK))
    with torch.no_grad():
        found = repaired(Both(), clf, batch)(batch)["logits"]
    np.testing.assert_allclose(
        found.softmax(1), clf.predict_proba(features_of(small, batch)), atol=1e-5
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_lower_precision(small, batch, dtype):
    clf = fitted(HSFMClassifier(**QUICK))
    home = repaired(small.to(dtype), clf, batch.to(dtype))
    assert home.fc.weight.dtype == dtype


def test_networks_of_several_arguments():
    transformers = pytest.importorskip("transformers", reason="what takes several arguments")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=D, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, num_labels=4,
    )  # fmt: skip
    network = transformers.BertForSequenceClassification(config)
    ids = torch.randint(1, 50, (6, 7))
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    clf = fitted(HSFMClassifier(**QUICK), 3)
    home = repaired(network, clf, given)
    with torch.no_grad():
        pooled = home.bert(**given).pooler_output
        found = home(**given).logits
    np.testing.assert_allclose(found.softmax(1), clf.predict_proba(pooled.numpy()), atol=1e-5)


# --- what is refused


def _pruned(network):
    prune.l1_unstructured(network.fc, "weight", 0.5)
    return network


def _pruned_and_run(network):
    _pruned(network).eval()
    with torch.no_grad():  # leaves a weight that can be copied
        network(torch.rand(2, 3, 12, 10))
    return network


def _normed(network):
    parametrizations.weight_norm(network.fc)
    return network


def _quantised(network):
    network.fc = type("Linear", (nn.Module,), {"__module__": "torch.ao.nn.quantized.dynamic"})()
    packed = {"__module__": "torch.ao.nn.quantized.modules.linear"}
    network.fc._packed_params = type("LinearPackedParams", (nn.Module,), packed)()
    network.fc.forward = lambda x: x[:, :2] * 3
    return network


class _Int(torch.Tensor):
    """Stands for the weights of torchao and bitsandbytes, whose tensors are of their own."""


def _wrapped_weights(network):
    network.fc.weight = nn.Parameter(network.fc.weight.detach().as_subclass(_Int))
    return network


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_pruned, r"cannot be copied \(RuntimeError.*fc.weight is a Tensor.*prune.remove"),
        (_pruned_and_run, r"'fc', is quantised, pruned .* made of weight_orig.*prune.remove"),
        (_normed, r"made of parametrizations.weight.original0, .*original1"),
        (_quantised, r"^fc is a torch.ao.nn.quantized.dynamic.Linear: a quantised layer"),
        (_wrapped_weights, r"fc.weight is a _Int is quantised"),
        (lambda n: nn.Sequential(n, nn.Linear(2, 5), nn.ReLU()), "No linear layer of the Seq"),
        (lambda n: nn.Sequential(n, nn.Linear(2, 5)), "2 features enter .* '1', .* fitted on 8"),
    ],
)
def test_layers_that_cannot_become_the_head_are_refused_by_name(small, batch, change, message):
    network = change(small)
    clf = fitted(HSFMClassifier(**QUICK))
    with pytest.raises(ValueError, match=message):
        repaired(network, clf, batch)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_what_is_no_network_is_refused(small, batch):
    clf = fitted(HSFMClassifier(**QUICK))
    for network, message in [
        (torch.jit.trace(small.eval(), batch), "network is scripted or traced"),
        ("resnet18", "network is a str"),
        (None, "HSFMClassifier was fitted on features"),
    ]:
        with pytest.raises(TypeError, match=message):
            repaired(network, clf, batch)
    with pytest.raises(TypeError, match="X is a ndarray, and the HSFMClassifier knows no"):
        repaired(small, clf, batch.numpy())


def _texts():
    return make_pipeline(CountVectorizer(), LogisticRegression()).fit(["a b", "c cd"], [0, 1])


def test_classifiers_that_are_no_linear_head_are_refused(small, batch):
    for clf, message in [
        (make_pipeline(PCA(D), LogisticRegression()), "head there is a PCA, which a last layer"),
        (SVC(), "ends in a SVC, which is no linear head"),
        (_texts(), r"first step is a CountVectorizer, which holds no .*pipe\[1:\]"),
        (SVC(kernel="linear"), "decides otherwise than the SVC"),
    ]:
        with pytest.raises(ValueError, match=message):
            repaired(small, clf if hasattr(clf, "classes_") else fitted(clf, 3), batch)


# --- from images


@pytest.fixture
def scenes(pixels):
    rng = np.random.RandomState(0)
    y = np.array(["blue", "red"])[np.arange(40) % 2]
    images = rng.randint(120, size=(40, 10, 8, 3)).astype(np.uint8)
    images[y == "red", ..., 0] += 90
    return images, y


@pytest.mark.parametrize("scaled", [False, True])
def test_a_pipeline_from_images(small, scenes, scaled):
    X, y = scenes
    steps = [extractor(small), *[StandardScaler()] * scaled, LogisticRegression()]
    pipe = make_pipeline(*steps).fit(X, y)
    batch = torch.stack([to_float(x) for x in X])
    for network in (small, None):
        for given in (X, batch, list(X)):
            home = repaired(network, pipe, given)
            np.testing.assert_allclose(probabilities(home, batch), pipe.predict_proba(X), atol=1e-5)
            assert not any(m._forward_pre_hooks for m in home.modules())
    other = Small()
    with pytest.raises(ValueError, match=r"'fc', are not the features .*% off .*FeatureExtractor"):
        repaired(other, pipe, X)
    other_head = copy.deepcopy(small)
    other_head.fc = nn.Linear(D, 5)  # the features are the same
    np.testing.assert_allclose(
        probabilities(repaired(other_head, pipe, X), batch), pipe.predict_proba(X), atol=1e-5
    )


def test_features_of_another_layer_have_no_way_home(small, scenes):
    X, y = scenes
    pipe = make_pipeline(extractor(small, layer="stem"), LogisticRegression()).fit(X, y)
    with pytest.raises(ValueError, match=r"must be those of layer='pool', or"):
        repaired(None, pipe, X)


def test_a_network_by_name(scenes):
    X, y = scenes
    pipe = Pipeline(
        [
            ("features", FeatureExtractor("mobilenet_v3_small", weights=None)),
            ("head", LogisticRegression()),
        ]
    ).fit(X, y)
    home = repaired(None, pipe, X)
    assert home.classifier[3].out_features == 2


def test_a_fine_tuned_network_goes_home_as_it_is(small, scenes):
    X, y = scenes
    erm = ERMClassifier(small, preprocess=to_float, epochs=2, random_state=0).fit(X, y)
    batch = torch.stack([to_float(x) for x in X])
    for network in (None, erm.module_):
        found = probabilities(repaired(network, erm, X), batch)
        np.testing.assert_allclose(found, erm.predict_proba(X), atol=1e-5)
    with pytest.raises(ValueError, match=r"% off those of its own ERMClassifier"):
        repaired(small, erm, X)
    pipe = make_pipeline(FeatureExtractor(erm, precision="float32"), LogisticRegression()).fit(X, y)
    found = probabilities(repaired(erm.module_, pipe, X), batch)
    np.testing.assert_allclose(found, pipe.predict_proba(X), atol=1e-5)


@pytest.mark.usefixtures("routing")
def test_a_pipeline_starts_from_the_head_of_its_fine_tuned_network(small, scenes):
    X, y = scenes
    erm = ERMClassifier(small, preprocess=to_float, epochs=4, lr=0.1, random_state=0)
    for backbone in (erm, clone(erm).fit(X, y)):
        head = HSFMClassifier(**QUICK)
        pipe = make_hsfm_pipeline(backbone, head=head, precision="float32")
        pipe.fit(X, y, X_val=X[:30], y_val=y[:30])
        own = pipe["features"].backbone_
        for a, b in [(own.coef_, head.init_coef_), (own.intercept_, head.init_intercept_)]:
            np.testing.assert_allclose(b[0], a[1] - a[0], atol=1e-5)
        assert head.init_head is None
        assert repaired(None, pipe, X).fc.out_features == 2
        features = pipe["features"].transform(X)
        pipe[1:].fit(features, y, X_val=features[:30], y_val=y[:30])  # a head as any other
        assert np.abs(head.init_coef_[0] - own.coef_[1] + own.coef_[0]).max() > 1e-3
    given = np.ones((2, D)), np.zeros(2)  # by the user: it stays
    head = HSFMClassifier(**{**QUICK, "init_head": given})
    make_hsfm_pipeline(erm, head=head).fit(X, y, X_val=X[:30], y_val=y[:30])
    np.testing.assert_allclose(head.init_coef_, 0, atol=1e-6)
