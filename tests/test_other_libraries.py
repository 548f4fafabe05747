"""Data sets of torch, torchvision, and such as WILDS and SpuCo have them."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from sklearn_hsfm.datasets import from_dataset
from sklearn_hsfm.extraction import FeatureExtractor
from tests.digit_images import write_class_folders
from tests.small_network import extractor

Y, PLACE = [0, 1, 1, 0, 1, 0, 1], [0, 1, 0, 0, 1, 1, 0]


@pytest.fixture
def images(pixels):
    return [Image.fromarray(image) for image in pixels]


class Counting(Dataset):
    """Triples as WILDS has them; counts how often an image was asked for."""

    def __init__(self, images, y=Y, place=PLACE):
        self.images, self.y, self.place, self.asked = images, y, place, 0

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        self.asked += 1
        return self.images[index], self.y[index], self.place[index]


# torch.


def test_triples_and_subsets_in_one_pass(images, small, pixels):
    dataset = Counting(images)
    data = from_dataset(Subset(dataset, [4, 0, 2]), test=Subset(dataset, [6]), attributes=2)
    assert data.y_train.tolist() == [1, 0, 1]
    assert data.groups_train.tolist() == ["y=1 attribute=1", "y=0 attribute=0", "y=1 attribute=0"]
    assert dataset.asked == 3 + 1 + 2  # each once, and the first of each split as an image
    fitted = extractor(small).fit(pixels)
    np.testing.assert_allclose(
        fitted.transform(data.X_train), fitted.transform(pixels)[[4, 0, 2]], rtol=1e-5
    )


def test_dicts(images, small):
    class Dicts(Counting):
        def __getitem__(self, index):
            image, y, place = super().__getitem__(index)
            return {"img": image, "label": torch.tensor(y), "meta": torch.tensor([place])}

    dataset = Dicts(images)
    data = from_dataset(dataset, attributes="meta")
    assert data.groups_train[1] == "y=1 meta=1"
    fitted = extractor(small)
    np.testing.assert_array_equal(fitted.fit_transform(data.X_train), fitted.fit_transform(dataset))
    with pytest.raises(ValueError, match=r"item has .*its image is wanted under 'image'"):
        from_dataset(dataset, image="image")
    with pytest.raises(ValueError, match=r"where label='class' is no single value"):
        from_dataset(dataset, label="class")


def test_positions(images):
    class SubpopBench(Counting):
        def __getitem__(self, index):
            return index, *super().__getitem__(index)

    data = from_dataset(SubpopBench(images), image=1, label=2, attributes=3)
    assert data.y_train.tolist() == Y
    assert data.X_train[0] is images[0]


def test_torchvision_offers_its_targets(tmp_path, monkeypatch):
    sets = pytest.importorskip("torchvision.datasets")
    write_class_folders(tmp_path, n=20)
    folder = sets.ImageFolder(str(tmp_path / "train"))
    opened, loader = [], folder.loader
    folder.loader = lambda path: opened.append(path) or loader(path)
    data = from_dataset(folder, val=Subset(folder, [3, 1]))
    assert data.target_names.tolist() == ["even", "odd"]
    assert data.y_train.tolist() == folder.targets
    assert data.y_val.tolist() == [folder.targets[3], folder.targets[1]]
    assert len(opened) <= 8  # of 22
    turned = sets.ImageFolder(str(tmp_path / "train"), target_transform=lambda y: 1 - y)
    data = from_dataset(turned)
    assert data.y_train.tolist() == [1 - y for y in folder.targets]
    assert data.target_names.tolist() == [0, 1]  # the names belong to what is offered


def test_loaders(images):
    dataset = Counting(images)
    data = from_dataset(DataLoader(dataset, batch_size=3, drop_last=True))
    assert len(data.X_train) == len(data.y_train) == 7
    batches = torch.utils.data.BatchSampler(torch.utils.data.RandomSampler(dataset), 2, False)
    for shuffled in (
        DataLoader(dataset, shuffle=True),
        DataLoader(dataset, sampler=torch.utils.data.SubsetRandomSampler([0, 1])),
        DataLoader(dataset, batch_sampler=batches),
    ):
        with pytest.raises(ValueError, match=r"an order of its own, as with shuffle=True"):
            from_dataset(shuffled)
        with pytest.raises(ValueError, match=r"an order of its own, as with shuffle=True"):
            FeatureExtractor("resnet18", weights=None).fit(shuffled)
    with pytest.raises(ValueError, match="collate_fn of its own"):
        from_dataset(DataLoader(dataset, collate_fn=list))


def test_a_loader_in_order_is_read_by_the_extractor(pixels, small):
    floats = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    loader = DataLoader(TensorDataset(floats, torch.tensor(Y)), batch_size=2)
    fitted = FeatureExtractor(small).fit(loader)
    np.testing.assert_allclose(fitted.transform(loader), fitted.transform(floats), rtol=1e-5)


def test_labels_that_are_refused(images):
    with pytest.raises(ValueError, match=r"label of item 0 of train is 0.5; it must be a number"):
        from_dataset(Counting(images, y=[0.5] * 7))
    with pytest.raises(ValueError, match=r"label of item 0 of train is \[0, 1\]"):
        from_dataset(Counting(images, y=torch.tensor([[0, 1]] * 7)))
    with pytest.raises(ValueError, match=r"label of test, 0, is 2, which no training sample"):
        from_dataset(Counting(images), test=Counting(images, y=[2] * 7))
    with pytest.raises(ValueError, match="train has no samples"):
        from_dataset(Counting([]))
    with pytest.raises(ValueError, match="Labels are numbers and text"):
        from_dataset(Counting(images, y=[0, "a"] * 4))
    with pytest.raises(ValueError, match="both passed"):
        from_dataset(Counting(images), attributes=2, group=1)
    with pytest.raises(ValueError, match="An attribute is missing"):
        from_dataset(Counting(images, place=[float("nan")] * 7), attributes=2)

    class Streaming(IterableDataset):
        def __iter__(self):
            return iter(())

    with pytest.raises(TypeError, match="train is a Streaming, which has no items by number"):
        from_dataset(Streaming())


# What WILDS and SpuCo have, by the names that they have it.


class Wilds:
    """A WILDS data set: no torch Dataset; labels and metadata as tensors, and their names."""

    metadata_fields = ("background", "y", "from_source_domain")
    metadata_map = {"background": [" land", "water"], "y": [" landbird", "waterbird"]}  # noqa: RUF012
    split_dict = {"train": 0, "val": 1, "test": 2, "id_val": 3}  # noqa: RUF012

    class _eval_grouper:
        groupby_fields = ("background", "y")

    def __init__(self, images):
        self.images, self.asked = images, 0
        self.y_array = torch.tensor(Y)
        self.metadata_array = torch.tensor([PLACE, Y, [1] * 7]).T
        self.split_array = np.array([0, 0, 1, 2, 0, 0, 3])

    def __len__(self):
        return len(self.y_array)

    def __getitem__(self, index):
        self.asked += 1
        return self.images[index], self.y_array[index], self.metadata_array[index]

    def get_subset(self, split):
        return WildsSubset(self, np.where(self.split_array == self.split_dict[split])[0])


class WildsSubset(Wilds):
    def __init__(self, dataset, indices):
        self.dataset, self.indices = dataset, indices

    y_array = property(lambda self: self.dataset.y_array[self.indices])
    metadata_array = property(lambda self: self.dataset.metadata_array[self.indices])
    _eval_grouper = None

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, index):
        return self.dataset[self.indices[index]]


def test_wilds(images, small, pixels):
    whole = Wilds(images)
    with pytest.warns(UserWarning, match=r"\['id_val'\] are neither"):
        data = from_dataset(whole)
    assert whole.asked < 10  # one of each class and split, not all
    assert data.target_names.tolist() == ["landbird", "waterbird"]
    assert data.groups_train.tolist() == [
        "y=landbird background=land",
        "y=waterbird background=water",
        "y=waterbird background=water",
        "y=landbird background=water",
    ]
    assert data.attribute == "background"
    fitted, subset = extractor(small).fit(pixels), whole.get_subset("train")
    want = fitted.transform(pixels)[[0, 1, 4, 5]]
    np.testing.assert_allclose(fitted.transform(data.X_train), want, rtol=1e-5)
    np.testing.assert_allclose(fitted.transform(subset), want, rtol=1e-5)
    by = from_dataset(Subset(subset, [3, 1]), attributes=["from_source_domain", "background"])
    assert by.groups_train[0] == "y=landbird from_source_domain=1 background=water"


class SpuCo(Counting):
    labels = property(lambda self: self.y)
    spurious = property(lambda self: self.place)

    def __getitem__(self, index):
        return super().__getitem__(index)[:2]


class SpuCoInferred(Dataset):
    """SpuCo's wrapper that adds groups, of which it keeps those of the whole data set."""

    num_groups = 2

    def __init__(self, dataset, group, indices):
        self.dataset, self.group, self.indices = dataset, group, indices

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, index):
        at = self.indices[index]
        return *self.dataset[at], self.group[at]


def test_spuco(images):
    dataset = SpuCo(images)
    data = from_dataset(dataset)
    assert data.groups_train[:2].tolist() == ["y=0 spurious=0", "y=1 spurious=1"]
    assert dataset.asked <= 4
    assert from_dataset(dataset, attributes=None).groups_train is None
    pairs = SpuCo(images, place=[(p, 1) for p in PLACE])  # as UrbanCars has two of them
    assert from_dataset(pairs).groups_train[1] == "y=1 spurious=1,1"
    inferred = SpuCoInferred(dataset, [5, 6, 5, 5, 6, 6, 6], [2, 1])
    assert from_dataset(inferred).groups_train.tolist() == ["y=1 group=5", "y=1 group=6"]

    class NotYet(SpuCo):
        def __len__(self):
            raise AttributeError("no 'data'")

    with pytest.raises(TypeError, match=r"NotYet without a length .*needs initialize\(\) first"):
        from_dataset(NotYet(images))


def test_offered_labels_are_believed_where_items_have_them(images):
    class Moved(SpuCo):
        labels = property(lambda self: self.y[::-1])

    assert from_dataset(Moved(images)).y_train.tolist() == Y


def test_a_data_set_that_fails_is_named(images):
    class Failing(Counting):
        def __getitem__(self, index):
            if index == 3:
                raise RuntimeError("disk")
            return super().__getitem__(index)

    with pytest.raises(ValueError, match="The data set train fails at item 3: RuntimeError: disk"):
        from_dataset(Failing(images))
