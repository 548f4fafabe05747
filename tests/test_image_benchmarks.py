"""The commands about images run; their figures are not tested."""

from functools import partial

import numpy as np
import pytest
from PIL import Image

from benchmarks import engines, extraction, from_images, networks, triggers
from benchmarks.columns import columns_of
from benchmarks.experiments import pixels
from benchmarks.methods import all_methods
from benchmarks.runs import Context, Run, records_of
from tests.small_network import extractor

pytestmark = pytest.mark.slow


def test_extraction_prints_a_row_for_each_way(capsys):
    extraction.main(["--n", "3", "--backbone", "mobilenet_v3_small", "--cpu-time"])
    shown = capsys.readouterr().out
    assert all(f"| {row} " in shown for row in extraction.ROWS)
    assert "3 images of generated JPEG, CPU time" in shown


def test_a_killed_extraction_computes_the_rest(capsys):
    extraction.main(["--n", "80", "--backbone", "mobilenet_v3_small", "--kill"])
    shown = capsys.readouterr().out
    assert "so 0 of those kept; asked once more, it computed 0" in shown


def test_engines_print_speed_and_error(capsys):
    command = ["--networks", "efficientnet_b0", "--batch-size", "2", "--rounds", "1"]
    engines.main([*command, "--engines", "torch float32", "+ channels last"])
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines() if "b0 |" in line]
    assert [row[2].strip() for row in rows] == ["torch float32", "+ channels last"]
    assert float(rows[0][5]) == 0
    assert float(rows[1][5]) < 1e-4


def small_dominoes(folder):
    rng, arrays = np.random.RandomState(0), {}
    for split, n in (("train", 160), ("val", 80), ("test", 80)):
        y, lower = np.arange(n) % 2, rng.randint(2, size=n)
        images = rng.randint(100, size=(n, 64, 32, 3), dtype=np.uint8)
        images[:, :32, :, 0] += (60 * y).astype(np.uint8)[:, None, None]
        images[:, 32:, :, 2] += (150 * lower).astype(np.uint8)[:, None, None]
        arrays |= {f"X_{split}": images, f"y_{split}": y, f"group_{split}": 2 * y + lower}
    np.savez(folder / "dominoes_images.npz", **arrays)
    return arrays


def test_pixels_of_dominoes(tmp_path, monkeypatch):
    monkeypatch.setitem(networks.SMALL, "epochs", 1)
    small_dominoes(tmp_path)
    context = Context(tmp_path, tmp_path / "results")._replace(seeds=1)
    text = pixels.run(context)
    assert all(f"| {name} |" in text for name in ("ERM", "refit", *pixels.METHODS))
    monkeypatch.setattr(pixels, "_records", None)  # would raise
    assert pixels.run(context) == text


def test_features_of_triggered_images(tmp_path, small):
    data = small_dominoes(tmp_path)
    found = triggers.features_of(data, extractor(small))
    assert found["X_train_triggered"].shape == found["X_train"].shape
    marked = extractor(small).fit_transform(triggers.triggered(data["X_test"]))
    np.testing.assert_allclose(found["X_test_triggered"], marked.astype(np.float16), atol=1e-6)
    assert np.abs(found["X_test_triggered"] - found["X_test"]).max() > 1e-3
    assert found["group_val"].tolist() == data["group_val"].tolist()


def test_from_images_to_the_table(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(from_images, "METHODS", ("ERM", "HSFMClassifier", "DFR"))
    rng, arrays = np.random.RandomState(0), {}
    for split, n in (("train", 160), ("val", 80), ("test", 40)):
        arrays[f"X_{split}"] = rng.randint(256, size=(n, 16, 16, 3), dtype=np.uint8)
        arrays[f"y_{split}"] = np.arange(n) % 2
        arrays[f"group_{split}"] = np.arange(n) % 4
    np.savez(tmp_path / "images.npz", **arrays)
    command = ["--data", str(tmp_path / "images.npz"), "--folder", str(tmp_path / "kept")]
    command += ["--network", "mobilenet_v3_small", "--epochs", "1", "--seeds", "1"]
    from_images.main(command)
    shown = capsys.readouterr().out
    assert all(f"| {name} |" in shown for name in from_images.METHODS)
    tables = shown.partition("images, mobilenet_v3_small ERM-tuned")[2]
    from_images.main(command)  # nothing is trained or run anew
    again = capsys.readouterr().out
    assert "images, mobilenet_v3_small ERM-tuned" + tables in again
    assert "epoch" not in again.partition("images,")[0]


def test_a_folder_of_images_becomes_features_and_a_table(tmp_path, monkeypatch):
    folder = tmp_path / "waterbird_complete95_forest2water2"
    folder.mkdir()
    rng, lines = np.random.RandomState(0), ["img_filename,y,split,place"]
    for i in range(80):
        y, place, split = i % 2, i // 2 % 2, (0, 0, 1, 2)[i // 4 % 4]
        pixels = np.add(rng.randint(100, size=(40, 40, 3)), [100 * y, 100 * place, 0])
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.jpg")
        lines.append(f"{i}.jpg,{y},{split},{place}")
    (folder / "metadata.csv").write_text("\n".join(lines))
    # The published weights cannot be downloaded here, and are not what is tested.
    random_weights = partial(networks.extract, weights=None, epochs=1)
    monkeypatch.setattr(networks, "extract", random_weights)
    context = Context(tmp_path, tmp_path / "results")
    tuned, frozen = columns_of(["waterbirds"], context, network="resnet18")
    assert tuned.load(0).head[0].shape == (2, 512)
    assert frozen.load(0).X_test.shape == (20, 512)
    assert set(frozen.load(0).groups_test) == {
        f"y={bird} place={place}"
        for bird in ("landbird", "waterbird")
        for place in ("land", "water")
    }
    wanted = [Run(c, n, all_methods()[n], 0) for c in (tuned, frozen) for n in ("ERM", "LISA")]
    records = records_of(wanted, "table", context)
    assert [r["features"] for r in records[::2]] == [
        "waterbirds_erm_resnet18",
        "waterbirds_resnet18",
    ]
    assert records[2]["average"] > 0.8  # the brightness of a channel is the class
