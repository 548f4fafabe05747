"""The tables of where the shortcut is run on images of their form; their figures are not tested."""

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.experiments.backdoor import spectral_outliers
from benchmarks.where import __main__ as where
from benchmarks.where import dominoes, patches, speed, waterbirds
from tests.small_network import to_float


def a_network():
    torch.manual_seed(0)
    layers = torch.nn.Conv2d(3, 8, 4, stride=4), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1)
    return torch.nn.Sequential(*layers, torch.nn.Flatten()), to_square


def to_square(image):
    return to_float(image.resize((32, 32)))


@pytest.fixture
def written(tmp_path, monkeypatch, capsys):
    """Return a function that makes a table, and returns it as it was written."""
    for module in (dominoes, waterbirds):
        monkeypatch.setattr(module, "N_SEARCHED", 120)
        monkeypatch.setattr(module, "N_MASKED", 120)
    monkeypatch.setattr(dominoes, "N_EXTRA", 120)
    command = ["--data-dir", str(tmp_path), "--results", str(tmp_path / "results"), "--seeds", "1"]
    command += ["--network", "tests.test_where_benchmark:a_network"]

    def table(name):
        where.main([name, *command])
        text = (tmp_path / "results" / f"where_{name}.md").read_text()
        assert text == capsys.readouterr().out
        return text

    return table


@pytest.fixture
def dominoes_file(tmp_path):
    rng = np.random.RandomState(0)
    data = {}
    for split, agrees in (("train", 0.9), ("val", 0.5), ("test", 0.5)):
        y = np.arange(160) % 2
        lower = np.where(rng.uniform(size=160) < agrees, y, 1 - y)
        images = rng.randint(120, size=(160, 64, 32, 3), dtype=np.uint8)
        images[:, :32, :, 0] += (30 * y).astype(np.uint8)[:, None, None]
        images[:, 32:, :, 2] += (120 * lower).astype(np.uint8)[:, None, None]
        data |= {f"X_{split}": images, f"y_{split}": y, f"group_{split}": 2 * y + lower}
    np.savez(tmp_path / "dominoes_images.npz", **data)


@pytest.fixture
def waterbirds_folder(tmp_path):
    rng = np.random.RandomState(0)
    folder = tmp_path / "waterbirds"
    folder.mkdir()
    lines, boxes = ["img_id,img_filename,y,split,place,place_filename"], []
    for i in range(480):
        split, y = i // 160, i % 2
        place = y if rng.uniform() < (0.9 if split == 0 else 0.5) else 1 - y
        image = rng.randint(100, size=(40, 32, 3), dtype=np.uint8)
        image[..., 2] += np.uint8(150 * place)
        image[12:28, 10:22] = rng.randint(100, size=(16, 12, 3)) + 60 * np.array([y, 1 - y, 0])
        Image.fromarray(image).save(folder / f"{i}.png")
        lines.append(f"{i + 1},{i}.png,{y},{split},{place},-")
        boxes.append(f"{i + 1} 10.0 12.0 12.0 16.0")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "bounding_boxes.txt").write_text("\n".join(boxes) + "\n")
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("dominoes_file")
def test_dominoes(written):
    text = written("dominoes")
    assert "| shuffled | 0 | None | 0 | - |" in text
    assert "| none (ERM) | - | 0 |" in text


@pytest.mark.slow
@pytest.mark.usefixtures("waterbirds_folder")
def test_waterbirds(written):
    text = written("waterbirds")
    assert "| real | 0 |" in text
    assert "| shuffled | 0 | None | 0 of " in text


@pytest.mark.slow
@pytest.mark.usefixtures("dominoes_file")
def test_patches(written, monkeypatch):
    monkeypatch.setattr(patches, "RATES", (0.05,))
    text = written("patches")
    assert "| 5% | 0 | behind PatchRemover |" in text


@pytest.mark.slow
@pytest.mark.usefixtures("dominoes_file")
def test_speed(written, monkeypatch):
    monkeypatch.setattr(speed, "N", 80)
    assert "| find_regions, four regions each |" in written("speed")


@pytest.mark.parametrize("table", sorted(where.TABLES))
def test_what_is_absent_is_said(written, table):
    assert "absent.** Looked for" in written(table)


@pytest.mark.parametrize("option", ["--data-dir", "--waterbirds-dir", "--boxes"])
def test_a_path_that_is_wrong_is_an_error(option, tmp_path, capsys):
    with pytest.raises(SystemExit):
        where.main(["waterbirds", option, str(tmp_path / "nowhere")])
    assert f"{option}: there is no {tmp_path / 'nowhere'}" in capsys.readouterr().err


def test_boxes_that_are_missing_are_said(written, waterbirds_folder, tmp_path):
    (tmp_path / "bounding_boxes.txt").unlink()
    assert "Boxes of the birds: absent" in written("waterbirds")


def test_the_box_of_the_bird_is_that_of_its_image(waterbirds_folder, tmp_path):
    found = waterbirds.bird_boxes(
        tmp_path / "bounding_boxes.txt", waterbirds_folder / "metadata.csv", waterbirds_folder
    )
    assert found[str(waterbirds_folder / "7.png")] == (10, 12, 22, 28)


def test_outside_is_counted_in_pixels():
    rng = np.random.RandomState(0)
    boxes, birds = (np.sort(rng.randint(0, 20, size=(30, 2, 2)), axis=1) for _ in range(2))
    boxes[:, 1] += 1
    boxes, birds = boxes.reshape(-1, 4), birds.reshape(-1, 4)
    share = waterbirds.outside(boxes, birds.astype(float))
    for one, bird, found in zip(boxes, birds, share, strict=True):
        inside = [
            bird[0] <= x < bird[2] and bird[1] <= y < bird[3]
            for x in range(one[0], one[2])
            for y in range(one[1], one[3])
        ]
        np.testing.assert_allclose(found, 1 - np.mean(inside))


def test_the_trigger_is_found_by_its_colour():
    images = np.random.RandomState(0).randint(200, size=(3, 64, 32, 3), dtype=np.uint8)
    assert not len(patches.yellow_boxes(images[0]))
    assert patches.yellow_boxes(patches.triggered(images)[0]).tolist() == [[0, 0, 6, 6]]


def test_some_of_one_class_are_poisoned():
    images, y = np.zeros((40, 8, 8, 3), dtype=np.uint8), np.arange(40) % 2
    X, labels = patches.poisoned(images, y, 0.1, 0)
    changed = np.flatnonzero(X.any(axis=(1, 2, 3)))
    assert changed.tolist() == np.flatnonzero(labels != y).tolist()
    assert len(changed) == 2
    assert (labels[changed] == 1).all()


def test_outliers_lie_along_the_first_direction():
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(200, 5)), np.arange(200) % 2
    X[:10, 2:4] += 30
    found = spectral_outliers(X, y)
    assert found.sum() == 10
    assert found[:10].all()
