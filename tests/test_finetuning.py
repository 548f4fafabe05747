"""ERM fine-tuning: it learns, resumes, hands over, and is a scikit-learn classifier."""

import copy
import errno
import hashlib
import os
import pickle
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from torch import nn

from sklearn_hsfm import HSFMClassifier
from sklearn_hsfm.extraction import FeatureExtractor
from sklearn_hsfm.finetuning import ERMClassifier, make_hsfm_pipeline
from sklearn_hsfm.finetuning._checkpoint import CheckpointFile
from sklearn_hsfm.finetuning._training import learning_rates
from tests.evil_pickle import Evil


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Dropout(0.1))
        self.fc = nn.Linear(8, 7)

    def forward(self, x):
        return self.fc(self.stem(x).mean((2, 3)))


def to_float(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


@pytest.fixture(scope="module")
def scenes():
    """Return images that are red or blue, with noise, and their labels."""
    rng = np.random.RandomState(0)
    y = np.array(["blue", "red"])[rng.randint(2, size=80)]
    images = rng.randint(120, size=(80, 10, 8, 3)).astype(np.uint8)
    images[y == "red", ..., 0] += 90
    images[y == "blue", ..., 2] += 90
    return images, y


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Small()


def erm(network, **params):
    params = {"preprocess": to_float, "lr": 0.3, "epochs": 6, "batch_size": 16, **params}
    return ERMClassifier(network, random_state=0, **params)


def weights_of(clf):
    return torch.cat([p.flatten() for p in clf.module_.parameters()]).detach().numpy()


def test_it_learns(network, scenes):
    X, y = scenes
    clf = erm(network, epochs=15).fit(X[:60], y[:60], X[60:], y[60:])
    assert clf.score(X[60:], y[60:]) > 0.9
    assert clf.classes_.tolist() == ["blue", "red"]
    proba = clf.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-6)
    assert np.array_equal(clf.predict(X), clf.classes_[proba.argmax(axis=1)])
    assert np.array_equal(clf.decision_function(X) > 0, clf.predict(X) == "red")
    accuracy = clf.history_["valid_acc"]
    assert len(accuracy) == clf.n_iter_ == 15
    assert clf.score(X[60:], y[60:]) == pytest.approx(accuracy.max(), abs=1e-6)
    assert accuracy[clf.best_epoch_ - 1] == accuracy.max()


def test_of_equally_good_epochs_the_first_is_kept(network, scenes):
    X, y = scenes
    clf = erm(network, epochs=15).fit(X[:60], y[:60], X[60:], y[60:])
    accuracy = clf.history_["valid_acc"]
    assert (accuracy == accuracy.max()).sum() > 1
    first = erm(network, epochs=clf.best_epoch_).fit(X[:60], y[:60], X[60:], y[60:])
    assert np.array_equal(weights_of(clf), weights_of(first))


def test_one_seed_one_result_and_no_global_state(network, scenes):
    X, y = scenes
    first = weights_of(erm(network).fit(X, y))
    state = torch.get_rng_state()
    torch.rand(3)
    second = erm(network)
    before = torch.get_rng_state()
    second.fit(X, y)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(before, state)
    assert np.array_equal(weights_of(second), first)
    assert network.fc.out_features == 7  # the caller's network is left alone


def test_a_run_that_resumes_ends_as_one_that_did_not(network, scenes, tmp_path):
    X, y = scenes
    whole = erm(network, epochs=6).fit(X, y)
    erm(network, epochs=2, checkpoint_dir=tmp_path).fit(X, y)
    # As in a new process, the function lies at another address.
    same = types.FunctionType(to_float.__code__, globals(), "to_float")
    resumed = erm(network, epochs=6, checkpoint_dir=tmp_path, preprocess=same).fit(X, y)
    assert resumed.n_iter_ == 6
    np.testing.assert_array_equal(resumed.history_["valid_loss"], whole.history_["valid_loss"])
    assert np.array_equal(weights_of(resumed), weights_of(whole))
    again = erm(network, epochs=6, checkpoint_dir=tmp_path).fit(X, y)  # nothing is left to do
    assert np.array_equal(weights_of(again), weights_of(whole))
    with pytest.raises(ValueError, match="holds a run with other settings"):
        erm(network, lr=0.1, checkpoint_dir=tmp_path).fit(X, y)


class Stopper:
    """Augmentation that stops a run at one of its images, as Ctrl-C does."""

    def __init__(self, stop_at=None):
        self.stop_at, self.n_seen = stop_at, 0

    def __call__(self, image):
        self.n_seen += 1
        if self.n_seen == self.stop_at:
            raise KeyboardInterrupt
        return image

    def __getstate__(self):
        return {}  # a run is known by the state of its parameters, and these change no image


@pytest.mark.parametrize("schedule", ["cosine", "step", "one-cycle"])
def test_a_schedule_resumes_in_the_middle(network, scenes, tmp_path, schedule):
    X, y = scenes
    parts = X[:60], y[:60], X[60:], y[60:]
    whole = erm(network, schedule=schedule, augment=Stopper()).fit(*parts)
    stopped = erm(network, schedule=schedule, augment=Stopper(200), checkpoint_dir=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(*parts)
    assert not hasattr(stopped, "coef_")
    resumed = erm(network, schedule=schedule, augment=Stopper(), checkpoint_dir=tmp_path)
    resumed.fit(*parts)
    assert resumed.augment.n_seen < 6 * 60  # the first epochs were there
    np.testing.assert_array_equal(resumed.history_["train_loss"], whole.history_["train_loss"])
    assert np.array_equal(weights_of(resumed), weights_of(whole))
    with pytest.raises(ValueError, match="holds a run with other settings"):  # another curve
        resumed.set_params(epochs=7).fit(*parts)


def test_a_run_killed_while_it_writes_resumes(network, scenes, tmp_path, monkeypatch):
    X, y = scenes
    whole = erm(network).fit(X, y)
    replace, n_written = os.replace, []

    def die(part, path):
        n_written.append(path)
        if len(n_written) == 3:
            Path(part).write_bytes(b"half of it")
            raise SystemExit
        replace(part, path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", die)
        with pytest.raises(SystemExit):
            erm(network, checkpoint_dir=tmp_path).fit(X, y)
    resumed = erm(network, checkpoint_dir=tmp_path).fit(X, y)
    assert np.array_equal(weights_of(resumed), weights_of(whole))
    np.testing.assert_array_equal(resumed.history_["train_loss"], whole.history_["train_loss"])


def test_a_disk_that_is_full_changes_no_fit(network, scenes, tmp_path, monkeypatch):
    X, y = scenes
    whole = erm(network).fit(X, y)

    def full(part, path):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.warns(UserWarning, match=rf"Training goes on, .*{tmp_path}.*no space") as caught:
        clf = erm(network, checkpoint_dir=tmp_path).fit(X, y)
    assert len(caught) == 1
    assert np.array_equal(weights_of(clf), weights_of(whole))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "evil"])
def test_a_damaged_checkpoint_is_refused(network, scenes, tmp_path, damage):
    X, y = scenes
    erm(network, epochs=2, checkpoint_dir=tmp_path).fit(X, y)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    evil = pickle.dumps(Evil(tmp_path / "ran"), protocol=2)
    mark = b"sklearn_hsfm run 1\n" + hashlib.sha256(evil).hexdigest().encode() + b"\n"
    path.write_bytes(
        {"truncated": content[:500], "empty": b"", "flipped": content, "evil": mark + evil}[damage]
    )
    with pytest.raises(ValueError, match=rf"{path} is damaged.*Remove it to start anew"):
        erm(network, checkpoint_dir=tmp_path).fit(X, y)
    assert not (tmp_path / "ran").exists()


def test_a_run_is_known_by_all_that_makes_it(network, scenes, tmp_path):
    """Each in a folder of its own, after a run that differs in one thing."""
    X, y = scenes
    other = copy.deepcopy(network)
    with torch.no_grad():
        other.stem[0].weight += 1e-3
    gain = 2
    cases = {
        "rows": (erm(network), (X[::-1], y)),
        "rows, validation_rows": (erm(network), (X, np.roll(y, 1))),
        "network": (erm(other), (X, y)),
        "augment": (erm(network, augment=lambda image: image if gain else None), (X, y)),
        "random_state": (erm(network).set_params(random_state=1), (X, y)),
        "precision": (erm(network, precision="bfloat16"), (X, y)),
        "validation_rows": (erm(network), (X, y, X[:9], y[:9])),
    }
    for i, (differs, (clf, args)) in enumerate(cases.items()):
        erm(network, epochs=1, checkpoint_dir=tmp_path / str(i)).fit(X, y)
        with pytest.raises(ValueError, match=rf"other settings or data: .*{differs}"):
            clf.set_params(checkpoint_dir=tmp_path / str(i), epochs=1).fit(*args)
    with pytest.raises(ValueError, match="holds a run of 1 epochs, and epochs=0"):
        CheckpointFile(tmp_path / "0").check({"history": "[{}]", "parts": "{}"}, {}, 0)


def test_a_run_without_a_seed_goes_on_with_its_own(network, scenes, tmp_path):
    X, y = scenes
    first = erm(network, epochs=2, checkpoint_dir=tmp_path).set_params(random_state=None).fit(X, y)
    again = erm(network, epochs=3, checkpoint_dir=tmp_path).set_params(random_state=None).fit(X, y)
    assert np.array_equal(again.history_["valid_loss"][:2], first.history_["valid_loss"])


def test_a_run_that_cannot_be_known_again_has_no_checkpoints(network, scenes, tmp_path):
    X, y = scenes
    with open(__file__) as file:
        clf = erm(network, augment=lambda image: image if file else None, checkpoint_dir=tmp_path)
        with pytest.raises(ValueError, match=r"augment: TextIOWrapper .*checkpoint_dir=None"):
            clf.fit(X, y)


@pytest.mark.parametrize("schedule", [None, "cosine", "step", "one-cycle"])
def test_the_rates_of_a_schedule(network, scenes, monkeypatch, schedule):
    X, y = scenes
    rates = []
    step = torch.optim.SGD.step

    def recorded(self, *args, **kwargs):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.SGD, "step", recorded)
    erm(network, schedule=schedule).fit(X[:60], y[:60], X[60:], y[60:])
    # 6 epochs of 4 batches; the steps before them are of skorch, which simulates the schedule.
    rates, done = np.array(rates[-24:]), np.arange(24) / 24
    if schedule == "one-cycle":
        assert 0.29 < rates.max() <= 0.3
        assert 0 < rates.argmax() < 12
        assert rates[-1] < rates[0] < 0.05
    else:
        curve = {
            None: np.ones(24),
            "cosine": (1 + np.cos(np.pi * done)) / 2,
            "step": 0.1 ** np.floor(3 * done),
        }
        np.testing.assert_allclose(rates, 0.3 * curve[schedule], rtol=1e-9)


# Python 3.12 warns where a process with threads forks; loaders of torch do.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_processes_load_the_same_images(network, scenes):
    X, y = scenes
    alone, helped = (erm(network, epochs=2, augment=None, n_jobs=n).fit(X, y) for n in (None, 2))
    assert np.array_equal(weights_of(helped), weights_of(alone))


def test_patience_stops(network, scenes):
    X, y = scenes
    clf = erm(network, epochs=50, patience=3, lr=1e-6).fit(X, y)
    assert clf.n_iter_ < 50
    assert clf.n_iter_ - clf.best_epoch_ == 3


def test_patience_counts_over_an_interruption(network, scenes, tmp_path):
    X, y = scenes
    settings = {"patience": 3, "lr": 1e-6, "epochs": 50, "checkpoint_dir": tmp_path}
    whole = erm(network, **settings | {"checkpoint_dir": None}).fit(X, y)
    erm(network, **settings | {"epochs": whole.n_iter_ - 1}).fit(X, y)  # one before it stops
    for _ in range(2):  # goes on, then finds nothing to do
        resumed = erm(network, **settings).fit(X, y)
        assert resumed.n_iter_ == whole.n_iter_
        assert np.array_equal(weights_of(resumed), weights_of(whole))
    with pytest.raises(KeyboardInterrupt):
        erm(network, patience=3, augment=Stopper(100)).fit(X, y)


# Fits that go wrong, and networks that are odd.


@pytest.mark.parametrize("training", [True, False])
def test_a_fit_that_diverges_says_so(network, scenes, tmp_path, training):
    X, y = scenes
    with pytest.raises(ValueError, match=r"diverged in its first epoch.*smaller lr than 1e\+20"):
        erm(network, lr=1e20).fit(X, y)

    class Exploding(Small):
        """In its third epoch it overflows, while it trains or while it is validated."""

        def forward(self, x):
            self.seen = getattr(self, "seen", 0) + self.training * len(x)
            overflows = self.seen > 2 * 72 and self.training == training
            return super().forward(x) * (np.inf if overflows else 1)

    torch.manual_seed(0)
    exploding = Exploding()
    with pytest.warns(ConvergenceWarning, match="diverged in epoch 3.*epochs before is kept"):
        clf = erm(exploding, checkpoint_dir=tmp_path).fit(X, y)
    assert clf.n_iter_ == len(clf.history_["valid_acc"]) == 2
    assert np.isfinite(weights_of(clf)).all()
    assert np.array_equal(weights_of(clf), weights_of(erm(exploding, epochs=2).fit(X, y)))
    assert clf.best_epoch_ == clf.history_["valid_acc"].argmax() + 1


class Normed(nn.Module):
    """Batch normalisation over one pixel, as at the end of a ResNet on small images."""

    def __init__(self):
        super().__init__()
        self.norm, self.fc = nn.BatchNorm2d(3), nn.Linear(3, 2)

    def forward(self, x):
        return self.fc(self.norm(x.mean((2, 3), keepdim=True)).flatten(1))


@pytest.mark.parametrize("schedule", [None, "one-cycle"])
def test_a_last_batch_of_one_is_left_out(scenes, schedule, monkeypatch):
    X, y = scenes
    seen = []

    def count(image):
        seen.append(1)
        return image

    rates, step = [], torch.optim.SGD.step

    def recorded(self, *args, **kwargs):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.SGD, "step", recorded)
    clf = erm(Normed(), batch_size=16, epochs=2, augment=count, schedule=schedule)
    clf.fit(X[:33], y[:33], X[33:], y[33:])
    assert len(seen) == 2 * 32
    wanted = [0.3] * 4 if schedule is None else learning_rates(schedule, 0.3, 2, 2)
    np.testing.assert_allclose(rates[-4:], np.ravel(wanted))  # the whole curve, in 4 steps
    assert np.isfinite(clf.history_["train_loss"]).all()
    with pytest.raises(ValueError, match=r"cannot train on one image: .* batch_size=1\."):
        erm(Normed(), batch_size=1).fit(X, y)
    seen.clear()
    erm(Small(), batch_size=16, epochs=1, augment=count).fit(X[:33], y[:33], X[33:], y[33:])
    assert len(seen) == 33  # where nothing is normalised nothing is left out


class First(nn.Module):
    """Its head is defined first; a linear layer of another block comes last."""

    def __init__(self):
        super().__init__()
        self.fc, self.neck = nn.Linear(5, 7), nn.Linear(3, 5)

    def forward(self, x):
        return self.fc(self.neck(x.mean((2, 3))).relu())


def test_the_head_is_the_last_layer_that_is_run(scenes):
    X, y = scenes
    clf = erm(First(), epochs=2).fit(X, y)
    assert clf.coef_.shape == (2, 5)
    assert clf.module_.neck.out_features == 5
    extractor = FeatureExtractor(clf, precision="float32").fit(X)
    logits = extractor.transform(X) @ clf.coef_.T + clf.intercept_
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], clf.decision_function(X), atol=1e-5)


def test_a_network_without_a_head_gets_one(scenes):
    X, y = scenes
    headless = First()
    headless.fc = nn.Identity()
    clf = erm(headless, epochs=15).fit(X[:60], y[:60], X[60:], y[60:])
    assert clf.coef_.shape == (2, 5)
    assert clf.score(X[60:], y[60:]) > 0.9
    again = pickle.loads(pickle.dumps(clf))
    assert np.array_equal(again.coef_, clf.coef_)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Sequential(Small(), nn.Softmax(1)), r"returns the softmax of what '0.fc' gives"),
        (nn.Sequential(nn.Conv2d(3, 7, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), "followed by a"),
        (nn.Conv2d(3, 2, 3), r"no linear layer .* returns \(2, 2, 8, 6\)"),
        (nn.Linear(4, 2), r"fails on an image that is \(3, 10, 8\)"),
    ],
)
def test_networks_that_cannot_be_trained_are_refused(network, message, scenes):
    with pytest.raises(ValueError, match=message):
        erm(network).fit(*scenes)


def test_images_of_several_sizes_or_broken_are_named(network, scenes, tmp_path):
    X, y = scenes
    images = [Image.fromarray(image) for image in X]
    images[7] = images[7].resize((5, 5))
    with pytest.raises(ValueError, match=r"image 7 \(sample 7 of 80\) is \(3, 5, 5\).*first one"):
        erm(network).fit(images, y)
    for i, image in enumerate(X):
        Image.fromarray(image).save(tmp_path / f"{i:02d}.png")
    (tmp_path / "07.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"07.png \(sample 7 of 80\) cannot be read as an image"):
        erm(network).fit(tmp_path, y)


def test_a_fit_seeds_one_device_alone(network, scenes):
    queued = torch.cuda._lazy_seed_tracker.get_calls()
    erm(network, epochs=1, device="cpu").fit(*scenes)
    assert torch.cuda._lazy_seed_tracker.get_calls() == queued


def test_predicting_leaves_the_network_alone(network, scenes):
    X, y = scenes
    clf = erm(network, epochs=1).fit(X, y)
    before = {name: value.clone() for name, value in clf.module_.state_dict().items()}
    first = clf.predict_proba(X)
    assert np.array_equal(clf.predict_proba(X[::-1])[::-1], first)
    assert clf.module_.stem[0].weight.is_contiguous()
    assert all(torch.equal(v, before[k]) for k, v in clf.module_.state_dict().items())


def test_it_hands_over(network, scenes):
    X, y = scenes
    clf = erm(network).fit(X, y)
    extractor = FeatureExtractor(clf, precision="float32").fit(X)
    features = extractor.transform(X)
    assert features.shape == (80, 8)
    logits = features @ clf.coef_.T + clf.intercept_
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], clf.decision_function(X), atol=1e-4)
    head = HSFMClassifier(init_head=clf, epochs=1, support_per_class=4)
    head.fit(features[:60], y[:60], features[60:], y[60:])
    np.testing.assert_allclose(
        features @ head.init_coef_[0] + head.init_intercept_, logits[:, 1] - logits[:, 0], atol=1e-4
    )


def test_a_fitted_backbone_keeps_its_weights(network, scenes, tmp_path):
    X, y = scenes
    clf = erm(network, epochs=1).fit(X, y)
    with pytest.raises(ValueError, match=r"weights='other.pt' .* ERMClassifier has been fitted"):
        FeatureExtractor(clf, weights="other.pt").fit(X)


@pytest.mark.usefixtures("routing")
def test_the_whole_pipeline(network, scenes):
    X, y = scenes
    head = HSFMClassifier(epochs=2, support_per_class=4, random_state=0)
    pipe = make_hsfm_pipeline(erm(network, epochs=10), head=head, precision="float32")
    pipe.fit(X[:50], y[:50], X_val=X[50:], y_val=y[50:])
    assert pipe.score(X[50:], y[50:]) > 0.8
    assert pipe["features"].backbone_.n_iter_ == 10
    again = pickle.loads(pickle.dumps(pipe))
    assert np.array_equal(again.predict(X), pipe.predict(X))


def test_augmentation_touches_training_images_alone(network, scenes):
    X, y = scenes
    seen = []

    def augment(image):
        seen.append(image.size)
        return image

    erm(network, epochs=2, augment=augment).fit(X[:50], y[:50], X[50:], y[50:])
    assert len(seen) == 100


def test_bfloat16_trains_as_well(network, scenes):
    X, y = scenes
    clf = erm(network, epochs=15, precision="bfloat16").fit(X[:60], y[:60], X[60:], y[60:])
    assert clf.score(X[60:], y[60:]) > 0.9
    assert clf.coef_.dtype == np.float32


def test_bad_input(network, scenes):
    X, y = scenes
    clf = erm(network)
    assert not hasattr(clf, "coef_")
    with pytest.raises(NotFittedError):
        clf.predict(X)
    for args, message in (
        ((X, y[:5]), "80 images, but y has 5 labels"),
        ((X, ["a"] * 80), "y has one class"),
        ((X, y, X), "come together"),
        ((X, y, X[:2], ["red", "green"]), r"labels that y does not have: \['green'\]"),
    ):
        with pytest.raises(ValueError, match=message):
            clone(clf).fit(*args)
    with pytest.raises(ValueError, match="no linear layer"):
        erm(nn.Conv2d(3, 2, 3)).fit(X, y)
