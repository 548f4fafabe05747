"""Loaders of the public image sets, on small folders of the same layout."""

import pathlib
import pickle

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from sklearn_hsfm import datasets
from sklearn_hsfm.metrics import group_scores


def test_waterbirds(tmp_path):
    lines = ["img_id,img_filename,y,split,place,place_filename"]
    for i, (y, split, place) in enumerate([(0, 0, 0), (1, 0, 0), (1, 1, 1), (0, 2, 1), (0, 2, 1)]):
        lines.append(f'{i},"00{y}.Bird/a, {i}.jpg",{y},{split},{place},/o/ocean.jpg')
    (tmp_path / "metadata.csv").write_text("\n".join(lines))
    data = datasets.load_waterbirds(tmp_path)
    assert data.X_train == [str(tmp_path / f"00{i}.Bird/a, {i}.jpg") for i in (0, 1)]
    assert data.groups_train.tolist() == ["y=landbird place=land", "y=waterbird place=land"]
    assert data.y_test.tolist() == [0, 0]
    assert data.counts["test"] == {"y=landbird place=water": 2}
    assert data.target_names[data.y_val].tolist() == ["waterbird"]
    assert "train, y=waterbird place=water: 0 images here, 1018 in Table 5" in data.differences
    assert group_scores(data.y_test, [0, 1], data.groups_test).worst == 0.5


def write_celeba(folder, form, n=400):
    rng = np.random.RandomState(0)
    names = [f"{i:06d}.jpg" for i in range(n)]
    blond, male = rng.choice([1, -1], p=[0.2, 0.8], size=n), rng.choice([1, -1], size=n)
    part = np.repeat([0, 1, 2], [n // 2, n // 4, n // 4])
    (folder / "img_align_celeba").mkdir(parents=True)
    rows = list(zip(names, blond, male, part, strict=True))
    if form == "txt":
        attr = [str(n), "Blond_Hair Male", *(f"{a} {b:2d} {m:2d}" for a, b, m, _ in rows)]
        split = [f"{a} {p}" for a, *_, p in rows]
    else:
        attr = ["image_id,Blond_Hair,Male", *(f"{a},{b},{m}" for a, b, m, _ in rows)]
        split = ["image_id,partition", *(f"{a},{p}" for a, *_, p in rows)]
    (folder / f"list_attr_celeba.{form}").write_text("\n".join(attr) + "\n")
    (folder / f"list_eval_partition.{form}").write_text("\n".join(split) + "\n")
    return names, (blond > 0).astype(int), np.where(male > 0, "male", "female"), part


def test_celeba_in_both_layouts(tmp_path):
    loaded = []
    for form in ("txt", "csv"):
        names, blond, sex, part = write_celeba(tmp_path / form, form)
        data = datasets.load_celeba(tmp_path / form, variant="full")
        assert [p[-10:] for p in data.X_val] == [
            n for n, p in zip(names, part, strict=True) if p == 1
        ]
        assert data.y_train.tolist() == blond[part == 0].tolist()
        assert data.groups_test[0].endswith(f"sex={sex[part == 2][0]}")
        loaded.append(data)
    assert loaded[0].counts == loaded[1].counts


def test_celeba_variants(tmp_path):
    write_celeba(tmp_path, "txt", n=4000)
    data = datasets.load_celeba(tmp_path)
    n_blond = (data.y_train == 1).sum()
    assert (data.y_train == 0).sum() == n_blond
    assert data.X_train == datasets.load_celeba(tmp_path, random_state=0).X_train
    assert data.X_train != datasets.load_celeba(tmp_path, random_state=1).X_train
    star = datasets.load_celeba(tmp_path, variant="star")
    assert star.counts["train"]["y=blond sex=male"] == 100
    assert star.counts["train"]["y=not blond sex=female"] == 100
    assert star.counts["train"]["y=not blond sex=male"] > 500
    with pytest.raises(ValueError, match="variant='small'"):
        datasets.load_celeba(tmp_path, variant="small")


def test_metashift(tmp_path):
    for place in ("train/cat/cat(sofa)", "train/dog/bench", "val_out_of_domain/cat/cat(shelf)",
                  "test/dog/dog(shelf)"):  # fmt: skip
        (tmp_path / place).mkdir(parents=True)
        Image.new("RGB", (2, 2)).save(tmp_path / place / "1.jpg")
    data = datasets.load_metashift(tmp_path)
    assert data.groups_train.tolist() == ["y=cat context=sofa", "y=dog context=bench"]
    assert data.groups_val.tolist() == ["y=cat context=shelf"]
    assert data.y_test.tolist() == [1]
    assert "test, y=dog context=shelf: 1 images here, 259 in Table 10" in data.differences


def write_dominoes(folder, n=40):
    """Write CIFAR-10 and MNIST as torchvision reads them, without their checksums."""
    rng = np.random.RandomState(0)
    batches = folder / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    for name in names:
        entry = {
            "data": rng.randint(256, size=(n, 3072), dtype=np.uint8),
            "labels": [1, 9] * (n // 2),
        }
        (batches / name).write_bytes(pickle.dumps(entry))
    (batches / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        pixels = rng.randint(256, size=(n, 28, 28), dtype=np.uint8)
        head = np.array([2051, n, 28, 28], dtype=">i4").tobytes()
        (raw / f"{part}-images-idx3-ubyte").write_bytes(head + pixels.tobytes())
        labels = np.array([0, 1] * (n // 2), dtype=np.uint8)
        head = np.array([2049, n], dtype=">i4").tobytes()
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())


def test_dominoes(tmp_path, monkeypatch):
    import torchvision.datasets as sets

    with pytest.raises(FileNotFoundError, match="download=True"):
        datasets.load_dominoes(tmp_path)
    write_dominoes(tmp_path)
    monkeypatch.setattr(sets.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr(sets.cifar, "check_integrity", lambda *a: True)
    data = datasets.load_dominoes(tmp_path)
    assert data.X_test.shape[1:] == (64, 32, 3)
    assert data.X_test.dtype == np.uint8
    # Of 20 cars, 20 trucks and 20 of each digit, none is used twice: cars and zeros go first.
    assert data.counts["test"] == {"y=car digit=0": 20, "y=truck digit=1": 19}
    digit = data.X_train[:, 32:]
    assert (digit[..., 0] == digit[..., 2]).all()  # grey, padded
    assert not digit[:, :2].any()
    assert len(np.unique(data.X_train.reshape(len(data.X_train), -1), axis=0)) == len(data.X_train)
    assert any(line.startswith("train, y=car digit=0: 20 images here") for line in data.differences)


def test_cub(tmp_path):
    (tmp_path / "images").mkdir()
    for name, lines in {
        "images": ["1 a/1.jpg", "2 a/2.jpg", "3 b/3.jpg"],
        "image_class_labels": ["1 1", "2 1", "3 2", "4 2"],  # 4 is no image of this folder
        "train_test_split": ["4 0", "1 1", "2 0", "3 1"],
        "classes": ["1 001.Albatross", "2 002.Auklet"],
    }.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(lines) + "\n")
    data = datasets.load_cub(tmp_path)
    assert data.X_train == [str(tmp_path / "images" / p) for p in ("a/1.jpg", "b/3.jpg")]
    assert data.y_train.tolist() == [0, 1]
    assert data.X_val is None
    assert data.groups_train is None
    assert data.differences[0] == "train: 2 images here, 5994 in section 7.5"
    (tmp_path / "train_test_split.txt").write_text("1 1\n3 1\n")
    with pytest.raises(ValueError, match=r"no line for 1 of the 3 images .*first id 2"):
        datasets.load_cub(tmp_path)


def test_flowers(tmp_path):
    (tmp_path / "jpg").mkdir()
    savemat(tmp_path / "imagelabels.mat", {"labels": [[1, 2, 2, 1]]})
    savemat(tmp_path / "setid.mat", {"trnid": [[1, 3]], "valid": [[2]], "tstid": [[4]]})
    data = datasets.load_flowers(tmp_path)
    assert data.y_train.tolist() == [0, 1]
    assert data.X_test == [str(tmp_path / "jpg" / "image_00004.jpg")]
    assert data.counts == {"train": 2, "val": 1, "test": 1}


def test_cars(tmp_path):
    (tmp_path / "devkit").mkdir()
    names = np.empty((1, 2), dtype=object)
    names[0] = ["AM General Hummer", "Acura RL"]
    savemat(tmp_path / "devkit/cars_meta.mat", {"class_names": names})
    for file, n in (("devkit/cars_train_annos.mat", 2), ("cars_test_annos_withlabels.mat", 1)):
        entries = np.array(
            [(k + 1, f"{k:05d}.jpg") for k in range(n)],
            dtype=[("class", object), ("fname", object)],
        )
        savemat(tmp_path / file, {"annotations": entries})
    data = datasets.load_cars(tmp_path)
    assert data.X_train == [str(tmp_path / "cars_train" / f"0000{k}.jpg") for k in (0, 1)]
    assert data.y_train.tolist() == [0, 1]
    assert data.target_names.tolist() == ["AM General Hummer", "Acura RL"]
    assert data.counts == {"train": 2, "val": 0, "test": 1}


# Tables as others lay them out, or as somebody made them.

HEAD = "img_id,img_filename,y,split,place\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "filename,split,y,a\na.jpg,0,0,1\n",
            r"no column 'img_filename', 'place'; it has 'filename'",
        ),
        ((HEAD + "1,a.jpg,0,0,1\n").replace(",", ";"), "no column .*it has 'img_id;img_filename;y"),
        ("", "it has none"),
        (HEAD + "1,a.jpg,0.0,0,1\n", r"line 2: y is '0.0'; it must be one of 0, 1"),
        (HEAD + "1,a.jpg,0,0,1\n1,b.jpg,0,train,1\n", "line 3: split is 'train'; .* 0, 1, 2"),
        (HEAD + "1,a.jpg,0,3,1\n", "line 2: split is '3'"),
        (HEAD + "1,a.jpg,0,-1,1\n", "line 2: split is '-1'"),
        (HEAD + "1,a.jpg,-1,0,1\n", "line 2: y is '-1'"),
        (HEAD + "1,a.jpg,1,0,-1\n", "line 2: place is '-1'"),
        (HEAD + "1,a.jpg,,0,1\n", "line 2: y is ''"),
        (HEAD + "1,a.jpg\n", "line 2: there are 2 values of 5"),
        (HEAD + '"1,a.jpg,0,0,1\n', "line 2: there are 1 values of 5"),
        (
            HEAD + "1,../../a.jpg,0,0,1\n",
            "line 2: img_filename is '../../a.jpg'; it must be a file in",
        ),
        (HEAD + "1,b/../../a.jpg,0,0,1\n", "img_filename is 'b/../../a.jpg'"),
        (HEAD + "1,/etc/passwd,0,0,1\n", "img_filename is '/etc/passwd'"),
        (HEAD + "1,,0,0,1\n", "img_filename is ''"),
    ],
)
def test_a_table_that_is_not_the_release_is_refused(text, message, tmp_path):
    (tmp_path / "metadata.csv").write_text(text)
    with pytest.raises(ValueError, match=message) as raised:
        datasets.load_waterbirds(tmp_path)
    assert str(tmp_path / "metadata.csv") in str(raised.value)


def test_tables_of_spreadsheets_are_read(tmp_path):
    """With the mark of UTF-8, blanks, empty lines, and file names in an old encoding."""
    text = "img_filename, y,split,place\r\n\r\ncaf\xe9.jpg ,0, 0,+1\r\n\r\n".encode("latin-1")
    (tmp_path / "metadata.csv").write_bytes(b"\xef\xbb\xbf" + text)
    data = datasets.load_waterbirds(tmp_path)
    assert data.X_train == [str(tmp_path / "caf\udce9.jpg")]
    assert data.groups_train.tolist() == ["y=landbird place=water"]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("list_attr_celeba.csv", "image_id,Blond_Hair,Male\n1.jpg,1,-1\n\n", None),
        ("list_attr_celeba.csv", "image_id,Blond_Hair\n1.jpg,1\n", "no column 'Male'"),
        ("list_attr_celeba.csv", "image_id,Blond_Hair,Male\n1.jpg,1,0\n", "Male is '0'; .* -1, 1"),
        (
            "list_attr_celeba.csv",
            "image_id,Blond_Hair,Male\n1.jpg,1,1\n1.jpg,1,1\n",
            "as in line 2",
        ),
        ("list_attr_celeba.csv", "image_id,Blond_Hair,Male\n../1.jpg,1,1\n", "no line for 1"),
        ("list_eval_partition.csv", "image_id,partition\n2.jpg,0\n", "no line for 1 .*first 1.jpg"),
        ("list_eval_partition.csv", "image_id,partition\n1.jpg,5\n", "partition is '5'"),
    ],
)
def test_celeba_of_another_layout(file, content, message, tmp_path):
    (tmp_path / "img_align_celeba").mkdir()
    (tmp_path / "list_attr_celeba.csv").write_text("image_id,Blond_Hair,Male\n1.jpg,1,-1\n")
    (tmp_path / "list_eval_partition.csv").write_text("image_id,partition\n1.jpg,0\n")
    (tmp_path / file).write_text(content)
    if message is None:
        assert datasets.load_celeba(tmp_path, variant="full").counts["train"] == {
            "y=blond sex=female": 1
        }
        return
    with pytest.raises(ValueError, match=message) as raised:
        datasets.load_celeba(tmp_path, variant="full")
    assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("image_class_labels.txt", "1 0\n2 1\n", "line 1: class is '0'; .*from 1 to 2"),
        ("image_class_labels.txt", "1 3\n2 1\n", "line 1: class is '3'"),
        ("image_class_labels.txt", "1\n2 1\n", "line 1: there are 1 values of 2"),
        ("train_test_split.txt", "1 2\n2 1\n", "line 1: is_training is '2'; .* 0, 1"),
        ("images.txt", "1 a.jpg\n2 ../../x.jpg\n", "line 2: file is '../../x.jpg'"),
        ("images.txt", "1 a.jpg\n1 b.jpg\n", "line 2: id is '1', as in line 1"),
        ("classes.txt", "1 x\n3 y\n", "line 2: id is '3'"),
    ],
)
def test_cub_of_somebody_else(file, content, message, tmp_path):
    (tmp_path / "images").mkdir()
    texts = {
        "images.txt": "1 a.jpg\n2 b b.jpg\n",
        "image_class_labels.txt": "1 1\n2 2\n",
        "train_test_split.txt": "1 1\n2 1\n",
        "classes.txt": "2 y\n1 x\n",  # in another order
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    data = datasets.load_cub(tmp_path)
    assert data.target_names[data.y_train].tolist() == ["x", "y"]
    assert data.X_train[1] == str(tmp_path / "images" / "b b.jpg")
    (tmp_path / file).write_text(content)
    with pytest.raises(ValueError, match=message) as raised:
        datasets.load_cub(tmp_path)
    assert str(tmp_path / file) in str(raised.value)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "setid.mat",
            {"trnid": [[0]], "valid": [[2]], "tstid": [[3]]},
            "trnid of .* holds 0; .*1 to 3",
        ),
        ("setid.mat", {"trnid": [[1]], "valid": [[4]], "tstid": [[3]]}, "valid of .* holds 4"),
        ("setid.mat", {"trnid": [[1.5]], "valid": [[2]], "tstid": [[3]]}, "trnid of .* holds 1.5"),
        ("setid.mat", {"trnid": [[1]]}, "has no valid, tstid"),
        ("imagelabels.mat", {"labels": [[1, -1, 2]]}, "labels of .* holds -1"),
        ("imagelabels.mat", b"no MATLAB file" * 20, "cannot be read as a MATLAB file"),
    ],
)
def test_flowers_of_somebody_else(file, content, message, tmp_path):
    (tmp_path / "jpg").mkdir()
    savemat(tmp_path / "imagelabels.mat", {"labels": [[1, 2, 2]]})
    savemat(tmp_path / "setid.mat", {"trnid": [[1]], "valid": [[2]], "tstid": [[3]]})
    if isinstance(content, bytes):
        (tmp_path / file).write_bytes(content)
    else:
        savemat(tmp_path / file, content)
    with pytest.raises(ValueError, match=message) as raised:
        datasets.load_flowers(tmp_path)
    assert file in str(raised.value)


@pytest.mark.parametrize(
    ("entry", "message"),
    [((0, "a.jpg"), "class in .* holds 0"), ((1, "../../a.jpg"), "fname in .* is '../../a.jpg'")],
)
def test_cars_of_somebody_else(entry, message, tmp_path):
    (tmp_path / "devkit").mkdir()
    names = np.empty((1, 1), dtype=object)
    names[0] = ["AM General Hummer"]
    savemat(tmp_path / "devkit/cars_meta.mat", {"class_names": names})
    for file in ("devkit/cars_train_annos.mat", "cars_test_annos_withlabels.mat"):
        entries = np.array([entry], dtype=[("class", object), ("fname", object)])
        savemat(tmp_path / file, {"annotations": entries})
    with pytest.raises(ValueError, match=message):
        datasets.load_cars(tmp_path)
    unlabelled = np.array([("a.jpg",)], dtype=[("fname", object)])
    savemat(tmp_path / "devkit/cars_train_annos.mat", {"annotations": unlabelled})
    with pytest.raises(ValueError, match=r"cars_train_annos.mat has no class in its annotations"):
        datasets.load_cars(tmp_path)


def test_dominoes_that_are_damaged(tmp_path, monkeypatch):
    import torchvision.datasets as sets

    write_dominoes(tmp_path)
    monkeypatch.setattr(sets.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr(sets.cifar, "check_integrity", lambda *a: True)
    (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\3cut off")
    with pytest.raises(ValueError, match=rf"{tmp_path} holds CIFAR-10 or MNIST damaged"):
        datasets.load_dominoes(tmp_path)


def test_no_pickle_is_loaded_that_has_another_checksum(tmp_path):
    """CIFAR-10 comes as pickles; those that are not the published ones are not opened."""

    class Evil:
        def __reduce__(self):
            return pathlib.Path.touch, (tmp_path / "ran",)

    write_dominoes(tmp_path)
    for path in (tmp_path / "cifar-10-batches-py").iterdir():
        path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(FileNotFoundError, match="lacks CIFAR-10 or MNIST"):
        datasets.load_dominoes(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_metashift_without_images(tmp_path):
    for place in ("train/cats/sofa", "test/dog/bench"):
        (tmp_path / place).mkdir(parents=True)
        Image.new("RGB", (2, 2)).save(tmp_path / place / "1.jpg")
    with pytest.raises(FileNotFoundError, match="train holds no images in folders cat and dog"):
        datasets.load_metashift(tmp_path)


@pytest.mark.parametrize(
    ("load", "missing"),
    [
        (datasets.load_waterbirds, "metadata.csv"),
        (datasets.load_celeba, "img_align_celeba"),
        (datasets.load_metashift, "train"),
        (datasets.load_cub, "images"),
        (datasets.load_flowers, "jpg"),
        (datasets.load_cars, "devkit/cars_meta.mat"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_missing_file_is_named(load, missing, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"has no {missing}"):
        load(tmp_path)
