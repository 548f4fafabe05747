"""Images in class folders, and images that a table names."""

import pathlib

import pandas as pd
import pytest
from PIL import Image

from sklearn_hsfm import HSFMClassifierCV
from sklearn_hsfm.datasets import load_image_folder, load_image_table, load_waterbirds
from tests.digit_images import SPLITS, write_class_folders, write_waterbirds
from tests.small_network import extractor


def touch(folder, *names):
    """Make images of these names."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(folder / name, format="png")
    return folder


# Folders.


def test_split_folders_and_attributes(tmp_path):
    write_class_folders(tmp_path, n=30)
    data = load_image_folder(tmp_path, attribute="lower")
    assert data.target_names.tolist() == ["even", "odd"]
    assert [len(data[f"y_{s}"]) for s in SPLITS] == [30, 30, 30]
    for path, y, group in zip(data.X_val, data.y_val, data.groups_val, strict=True):
        parts = pathlib.Path(path).parts
        assert parts[-4:-1] == ("val", data.target_names[y], group.rpartition("=")[2])
        assert group.startswith(f"y={data.target_names[y]} lower=")
    assert sum(data.counts["train"].values()) == 30
    assert data.attribute == "lower"
    without = load_image_folder(tmp_path)
    assert without.groups_train is None
    assert without.X_train == data.X_train
    assert without.counts == {"train": 30, "val": 30, "test": 30}


@pytest.mark.parametrize("names", [("valid", "testing"), ("validation", "test"), ("Val", "TEST")])
def test_splits_by_other_names(names, tmp_path):
    val, test = names
    touch(tmp_path, "train/a/1.png", "train/b/2.png", f"{val}/b/3.png", f"{test}/a/4.png")
    data = load_image_folder(tmp_path)
    assert (data.y_val.tolist(), data.y_test.tolist()) == ([1], [0])


def test_without_split_folders_all_are_training_samples(tmp_path):
    touch(tmp_path, "cat/1.png", "dog/deeper/2.png", "dog/1.JPG")
    data = load_image_folder(tmp_path)
    assert [pathlib.Path(p).name for p in data.X_train] == ["1.png", "1.JPG", "2.png"]
    assert data.y_train.tolist() == [0, 1, 1]
    assert data.X_val is data.y_test is None
    # Classes may be called like splits, or by numbers.
    touch(tmp_path / "vehicles", "car/1.png", "train/2.png")
    assert load_image_folder(tmp_path / "vehicles").target_names.tolist() == ["car", "train"]
    touch(tmp_path / "digits", "0/0/1.png", "1/0/2.png", "2/2/3.png")
    data = load_image_folder(tmp_path / "digits", attribute="place")
    assert data.groups_train.tolist() == ["y=0 place=0", "y=1 place=0", "y=2 place=2"]


def test_what_is_no_image_is_left_out(tmp_path):
    touch(tmp_path, "a/1.png", "b/2.png", "a/._1.png", "b/.hidden.png", "__MACOSX/a/1.png")
    touch(tmp_path, ".cache/1.png")
    (tmp_path / "a" / "Thumbs.db").touch()
    (tmp_path / "notes.txt").touch()
    data = load_image_folder(tmp_path)
    assert [pathlib.Path(p).name for p in data.X_train] == ["1.png", "2.png"]
    assert data.target_names.tolist() == ["a", "b"]


def test_images_of_no_class_or_split_are_said(tmp_path):
    touch(tmp_path, "train/a/1.png", "train/b/2.png", "train/3.png")
    with pytest.warns(UserWarning, match="1 images lie beside the class folders of .*'3.png'"):
        data = load_image_folder(tmp_path)
    assert len(data.X_train) == 2
    (tmp_path / "train" / "3.png").unlink()
    (tmp_path / "annotations").mkdir()  # without images
    touch(tmp_path, "unlabeled/u/1.png")
    with pytest.warns(UserWarning, match=r"unlabeled': images in folders beside the splits"):
        assert load_image_folder(tmp_path).X_test is None


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "no class folders. Put"),
        (("1.png",), "no class folders, but 1 images"),
        (("a/1.png", "b/1.txt"), r"1 of 2 class folders hold no image \(.jpg.*first .*b\. Fill"),
        (("a/1.png", "b/._1.png"), "1 of 2 class folders hold no image"),
        (("train/a/1.png", "val/b/2.png"), "The class of .*b is 'b', which no training .* 'a'"),
        (("train/a/1.png", "test/a/1.png", "test/b/.x"), "1 of 2 class folders"),
        (("val/a/1.png", "test/a/1.png"), "has the splits test, val, but no train"),
        (("train/a/1.png", "val/a/1.png", "valid/a/1.png"), "'val' and 'valid', which are one"),
    ],
)
def test_folders_that_are_refused(names, message, tmp_path):
    for name in names:
        touch(tmp_path, name)
    with pytest.raises(ValueError, match=message):
        load_image_folder(tmp_path)


def test_folders_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No folder of images at .*nowhere"):
        load_image_folder(tmp_path / "nowhere")
    touch(tmp_path, "a/place/1.png", "a/2.png")
    with pytest.raises(ValueError, match=r"2.png lies in its class folder and in none of 'place'"):
        load_image_folder(tmp_path, attribute="place")


# Tables.


def test_the_table_of_waterbirds(tmp_path, small):
    write_waterbirds(tmp_path, n=12)
    data, same = load_image_table(tmp_path / "metadata.csv"), load_waterbirds(tmp_path)
    for split in SPLITS:
        assert data[f"X_{split}"] == same[f"X_{split}"]
        assert data[f"y_{split}"].tolist() == same[f"y_{split}"].tolist()
        places = [g.replace("land", "0").replace("water", "1") for g in same[f"groups_{split}"]]
        assert [g[-1] for g in data[f"groups_{split}"]] == [p[-1] for p in places]
    assert data.columns["attributes"] == ["place"]
    assert data.attribute == "place"
    features = extractor(small).fit_transform(data.X_train)
    assert features.shape == (12, 8)


def test_the_table_of_subpopbench(tmp_path):
    touch(tmp_path, "images/1.png", "images/2.png", "images/3.png")
    at = tmp_path / "meta"
    at.mkdir()
    text = f"id,filename,split,y,a\n1,1.png,0,0,1\n2,2.png,0,1,0\n3,{tmp_path}/images/3.png,2,1,0\n"
    (at / "metadata.csv").write_text(text)
    data = load_image_table(at / "metadata.csv", folder=tmp_path / "images")
    assert [pathlib.Path(p).name for p in data.X_train + data.X_test] == ["1.png", "2.png", "3.png"]
    assert data.groups_train.tolist() == ["y=0 a=1", "y=1 a=0"]
    assert data.counts == {"train": {"y=0 a=1": 1, "y=1 a=0": 1}, "val": 0, "test": {"y=1 a=0": 1}}


FREE = """file,bird,part,place,time,g
1.png,10,tr,land,day,u
2.png,9,tr,water,day,v
3.png,9,va,land,night,u
"""


def written(folder, text=FREE):
    touch(folder, "1.png", "2.png", "3.png")
    (folder / "t.csv").write_text(text)
    return folder / "t.csv"


@pytest.mark.parametrize("form", ["csv", "frame"])
def test_columns_of_ones_own(form, tmp_path):
    table = written(tmp_path)
    where = {"image": "file", "label": "bird", "split": "part"}
    if form == "frame":
        table, where["folder"] = pd.read_csv(table), tmp_path
    data = load_image_table(table, **where, attributes=["place", "time"])
    assert data.target_names.tolist() == [9, 10]  # as numbers
    assert data.groups_val.tolist() == ["y=9 place=land time=night"]
    assert data.y_train.tolist() == [1, 0]
    data = load_image_table(table, **where, group="g")
    assert data.groups_train.tolist() == ["u", "v"]
    assert data.attribute == "g"
    data = load_image_table(table, **{**where, "split": None}, attributes=None)
    assert (len(data.X_train), data.groups_train, data.X_val) == (3, None, None)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (FREE, {}, r"no column 'img_filename' or .*; it has 'file', 'bird'.*image=NAME"),
        (FREE, {"image": "file", "label": "birds"}, r"no column 'birds'; it has .*Name another"),
        (FREE, {"image": "file", "label": "bird", "group": "g", "attributes": "place"}, "both"),
        ("filename,img_filename,y\n", {}, "has img_filename and filename; say which"),
        ("filename,y,place,a\n", {}, "has place and a; say which is meant, attributes=NAME"),
        ("filename,y,y\n1.png,0,1\n", {}, "two columns that are called 'y'"),
        ("filename,y\n", {}, "has no rows"),
        ("filename,y\n1.png,\n", {}, "t.csv, line 2: y is empty"),
        ("filename,y,split\n1.png,0,0\n2.png,0,\n", {}, "line 3: split is ''; it must be train"),
        ("filename,y,split\n1.png,0,id_val\n", {}, "line 2: split is 'id_val'"),
        ("filename,y,split\n1.png,0,test\n", {}, r"has no training row; its splits are \['test'\]"),
        ("filename,y,split\n1.png,0,0\n2.png,1,1\n", {}, "line 3: y is 1, which no training"),
        ("filename,y,a\n1.png,0,\n", {}, "line 2: a is empty"),
        ("filename,y\n1.png,0\n9.png,0\n", {}, "line 3: filename is '9.png', and there is no such"),
        ("filename,y\n../1.png,0\n", {}, "filename is '../1.png'; it must be a file in"),
        ("filename,y\n/etc/hostname,0\n", {}, "filename is '/etc/hostname'; it must be a file in"),
        ("filename,y\n1.png\n", {}, "line 2: there are 1 values of 2"),
        ("filename,label\n1.png,0\n", {"attributes": "y"}, "attributes has 'y'"),
    ],
)
def test_tables_that_are_refused(text, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        load_image_table(written(tmp_path, text), **options)


def test_tables_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="No table at"):
        load_image_table(tmp_path / "t.csv")
    (tmp_path / "t.tsv").touch()
    with pytest.raises(ValueError, match=r"t.tsv does not end in .csv"):
        load_image_table(tmp_path / "t.tsv")
    frame = pd.DataFrame({"filename": ["1.png", None], "y": [0, 1]})
    touch(tmp_path, "1.png")
    with pytest.raises(ValueError, match="The DataFrame, row 1: filename is empty"):
        load_image_table(frame, folder=tmp_path)


def test_labels_of_any_kind_sort_as_what_they_are(tmp_path):
    touch(tmp_path, "1.png", "2.png")
    (tmp_path / "t.csv").write_text("filename,y\n1.png,01\n2.png,1\n")
    assert load_image_table(tmp_path / "t.csv").target_names.tolist() == ["01", "1"]


def test_what_comes_out_is_what_fit_takes(tmp_path, small):
    write_waterbirds(tmp_path)
    data = load_image_table(tmp_path / "metadata.csv")
    features = extractor(small).fit(data.X_train)
    clf = HSFMClassifierCV(random_state=0, epochs=6)
    known = {"groups": data.groups_train, "groups_val": data.groups_val}
    X_val = features.transform(data.X_val)
    clf.fit(features.transform(data.X_train), data.y_train, X_val, data.y_val, **known)
    assert "validation groups, training groups" in clf.labels_used_
