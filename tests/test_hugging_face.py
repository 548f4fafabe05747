"""Data sets of Hugging Face."""

import numpy as np
import pytest
import torch
from PIL import Image

from sklearn_hsfm.datasets import from_dataset
from sklearn_hsfm.extraction import FeatureExtractor
from tests.small_network import extractor

datasets = pytest.importorskip("datasets", reason="needs Hugging Face's datasets")

Y, PLACE = [0, 1, 1, 0, 1, 0, 1], [0, 1, 0, 0, 1, 1, 0]


@pytest.fixture
def hugging(pixels):
    features = {
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=["land", "water"]),
        "place": datasets.ClassLabel(names=["field", "sea"]),
        "id": datasets.Value("string"),
    }
    columns = {
        "image": list(map(Image.fromarray, pixels)),
        "label": Y,
        "place": PLACE,
        "id": list("abcdefg"),
    }
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def test_hugging_face(hugging, small, pixels):
    whole = datasets.DatasetDict(train=hugging, validation=hugging.select([6, 1]))
    data = from_dataset(whole, attributes="place")
    assert data.target_names.tolist() == ["land", "water"]
    assert data.y_train.tolist() == Y
    assert data.y_val.tolist() == [1, 1]
    assert data.groups_val.tolist() == ["y=water place=field", "y=water place=sea"]
    assert data.X_test is None
    fitted = extractor(small).fit(pixels)
    want = fitted.transform(pixels)
    np.testing.assert_allclose(fitted.transform(data.X_train), want, rtol=1e-5)
    np.testing.assert_allclose(fitted.transform(data.X_val), want[[6, 1]], rtol=1e-5)
    # The data set, and its column, as they are.
    np.testing.assert_allclose(fitted.transform(hugging), want, rtol=1e-5)
    np.testing.assert_allclose(fitted.transform(hugging["image"]), want, rtol=1e-5)


def test_no_image_of_hugging_face_is_decoded_for_labels(hugging, monkeypatch):
    decoded, decode = [], datasets.Image.decode_example
    counted = lambda *args, **more: decoded.append(1) or decode(*args, **more)  # noqa: E731
    monkeypatch.setattr(datasets.Image, "decode_example", counted)
    from_dataset(hugging, attributes=["place", "id"])
    assert len(decoded) == 1  # which proves that there are images


def test_formats_and_transforms_of_hugging_face(hugging, small, pixels):
    for form in ("torch", "numpy", "pandas"):
        data = from_dataset(hugging.with_format(form))
        assert data.y_train.tolist() == Y
        assert data.X_train[0].size == (10, 12)

    def ready(batch):
        return {"pixel_values": [torch.ones(3, 8, 8) * len(i.size) for i in batch["image"]]}

    data = from_dataset(hugging.with_transform(ready), image="pixel_values")
    assert data.y_train.tolist() == Y
    assert FeatureExtractor(small).fit_transform(data.X_train).shape == (7, 8)


def test_columns_of_paths_and_text_are_lists(hugging, files, small):
    table = hugging.remove_columns("image").add_column("file", [str(f) for f in files])
    data = from_dataset(table, image="file", label="label", group="id")
    assert data.X_train == [str(f) for f in files]
    assert data.groups_train.tolist() == list("abcdefg")
    assert extractor(small).fit_transform(table["file"]).shape == (7, 8)
    data = from_dataset(table, image="id", label="place")
    assert data.X_train == list("abcdefg")
    assert data.target_names.tolist() == ["field", "sea"]


def test_hugging_face_that_is_refused(hugging):
    with pytest.raises(ValueError, match=r"train has 2 that may be it; it has 'image', 'fine'"):
        from_dataset(hugging.rename_column("label", "fine"))
    with pytest.raises(ValueError, match="no column 'bird'"):
        from_dataset(hugging, label="bird")
    with pytest.raises(TypeError, match="a data set that streams"):
        from_dataset(hugging.to_iterable_dataset(), label="label")
    with pytest.raises(ValueError, match="are not decoded"):
        from_dataset(hugging.cast_column("image", datasets.Image(decode=False)), label="label")
    unlabelled = hugging.map(lambda row: {"label": -1})
    with pytest.raises(ValueError, match="7 of 7 samples of test have no 'label'"):
        from_dataset(hugging, test=unlabelled, label="label")
    swapped = hugging.cast_column("label", datasets.ClassLabel(names=["water", "land"]))
    with pytest.raises(ValueError, match=r"\['land', 'water'\] in train and \['water', 'land'\]"):
        from_dataset(hugging, swapped, label="label")
    whole = datasets.DatasetDict(train=hugging, test=hugging, unsupervised=hugging)
    with pytest.warns(UserWarning, match=r"\['unsupervised'\] are neither"):
        assert from_dataset(whole, label="label").X_val is None
    with pytest.raises(ValueError, match="leave val and test out"):
        from_dataset(whole, hugging)
    with pytest.raises(ValueError, match="no split to train on"):
        from_dataset(datasets.DatasetDict(test=hugging))
    with pytest.raises(TypeError, match=r"a dict of \['train'.*pass one of these"):
        FeatureExtractor("resnet18", weights=None).fit(whole)
