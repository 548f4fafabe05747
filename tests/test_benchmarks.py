"""The commands of benchmarks/ run, resume, and say what is absent; their figures are not tested."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.utils import Bunch

from benchmarks import __main__ as command
from benchmarks import audits, columns, edits, judges, paper, rows, runs, speed
from benchmarks.experiments import all_experiments, peers, table15
from benchmarks.methods import Method, all_methods, fitted, methods_of, n_settings
from benchmarks.methods.lisa import attribute_of
from benchmarks.sets import DataSet, all_sets
from sklearn_hsfm.datasets import load_digit_dominoes, make_spurious_features
from sklearn_hsfm.heads import ClassBalancedClassifier


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Put a small set in the place of Adult, and results beside it."""
    data = make_spurious_features(n_train=300, n_val=400, n_test=200, random_state=0)
    whole = {
        name: np.concatenate([getattr(data, f"{key}_{part}") for part in ("train", "val", "test")])
        for name, key in (("X", "X"), ("y", "y"), ("group", "groups"))
    }
    np.savez(tmp_path / "adult_sex.npz", **whole, split=np.repeat([0, 1, 2], [300, 400, 200]))
    for module in (judges, speed):
        monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    return tmp_path


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Run every command as CI does, and return where the results are."""
    results = tmp_path_factory.mktemp("results")
    command.main(["all", "--quick", "--jobs", "2", "--results", str(results)])
    return results / "quick"


@pytest.mark.slow
@pytest.mark.parametrize("name", all_experiments())
def test_every_experiment_runs_quickly(quick, name):
    text = (quick / f"{name}.md").read_text()
    assert text.startswith("# ")
    if name in ("table2", "table3", "table4"):
        assert "absent.** Looked for images in" in text
        return
    if name == "pixels":  # images alone, which are not in the package
        assert "absent.** Looked for" in text
        return
    # One sums up its sets, the other simulates.
    assert "digit dominoes |" in text or name in ("family", "eacs")
    for record in runs.read(quick / f"{name}.jsonl"):
        assert record["versions"].keys() >= {"sklearn_hsfm", "torch", "scikit-learn", "numpy"}
        if name == "eacs":
            assert 0 <= record["right"] <= 1
            assert record["errors"]["x 4"]["EACS, discrete"] < record["errors"]["x 4"]["c2 and x"]
            continue
        if name == "discovery":
            assert record["precision"] is None or 0 <= record["precision"] <= 1
            continue
        assert 0 <= record["worst"] <= record["average"] <= 1
        assert record["seconds"] > 0
        assert record["seed"] == 0
    if name.startswith("figure"):
        assert (quick / f"{name}.png").stat().st_size > 5000


@pytest.mark.slow
def test_what_exists_is_not_run_again(quick, monkeypatch, capsys):
    kept = (quick / "table1.jsonl").read_text()
    monkeypatch.setattr(runs, "record", None)  # would raise
    command.main(["table1", "--quick", "--results", str(quick.parent)])
    assert (quick / "table1.jsonl").read_text() == kept
    assert capsys.readouterr().out.strip() == (quick / "table1.md").read_text().strip()


@pytest.mark.slow
def test_a_part_of_a_table_is_printed_and_leaves_the_page(tmp_path, capsys):
    asked = ["--methods", "DFR", "DPE, no groups", "--sets", "digit_dominoes"]
    where = ["--results", str(tmp_path), "--seeds", "1", "--jobs", "1"]
    command.main(["table1", *asked, *where])
    printed = capsys.readouterr().out
    rows = {line.split(" | ")[0] for line in printed.splitlines() if line.startswith("| D")}
    assert rows == {"| DFR", "| DPE, no groups"}
    assert [r["method"] for r in runs.read(tmp_path / "table1.jsonl")] == ["DFR", "DPE, no groups"]
    assert not (tmp_path / "table1.md").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["table1", "--methods", "DFRR"], "--methods: there is no 'DFRR'. Near it: DFR"),
        (["table1", "--sets", "waterbird"], "--sets: there is no 'waterbird'. Near it: waterbirds"),
        (["figure3", "--methods", "DFR"], "--methods cannot be chosen in figure3, but in noise"),
        (["table1", "--quick", "--sets", "dominoes"], "--sets cannot be chosen with --quick"),
        (["table1", "--data-dir", "nowhere"], "--data-dir: there is no folder nowhere"),
        (["table1", "--results", __file__], "is no folder"),
        (["table1", "--seeds", "0"], "--seeds must be 1 or more, got 0"),
    ],
)
def test_wrong_names_and_folders_are_errors_at_once(arguments, said, capsys, monkeypatch):
    monkeypatch.setattr(command, "Context", None)  # would raise
    with pytest.raises(SystemExit):
        command.main(arguments)
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_packages_that_are_not_installed_are_named(quick):
    text = (quick / "peers.md").read_text()
    assert "| DFR |" in text
    if peers.theirs():
        pytest.skip("a package of the peers is installed here")
    assert "`pip install spuco dpe netcal`" in text


def test_a_method_that_a_table_cannot_have_is_an_error(tmp_path):
    context = runs.Context(tmp_path, tmp_path, methods=("HSFMClassifierCV, training groups",))
    with pytest.raises(ValueError, match=r"This table cannot have \['HSFMClassifierCV, training"):
        methods_of(context, ("DFR",))


def column_of(folder, make=load_digit_dominoes):
    return columns.Column(DataSet("digits", "digits", kind="tabular", make=make), None)


def balanced(**params):
    return Method(lambda column: ClassBalancedClassifier(**params), "validation labels", False)


def test_an_interrupted_command_goes_on(tmp_path):
    context = runs.Context(tmp_path, tmp_path, jobs=1)
    wanted = [runs.Run(column_of(tmp_path), "CB", balanced(Cs=(1.0,)), s) for s in range(2)]
    first = runs.records_of(wanted, "some", context)
    lines = (tmp_path / "some.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == 2
    (tmp_path / "some.jsonl").write_text(lines[0] + lines[1][:30])  # killed as it wrote
    again = runs.records_of(wanted, "some", context)
    assert [r["seed"] for r in again] == [0, 1]
    assert [r["worst"] for r in again] == [r["worst"] for r in first]
    assert len(runs.read(tmp_path / "some.jsonl")) == 2

    # Another experiment takes over what it shares; another setting is another run.
    other = [wanted[0], runs.Run(column_of(tmp_path), "CB", balanced(Cs=(0.1,)), 0)]
    found = runs.records_of(other, "other", context)
    assert found[0] == again[0]
    assert found[1]["settings"]["Cs"] == [0.1]
    # Seconds that matter are measured anew.
    runs.append(tmp_path / "some.jsonl", {**first[0], "seconds": -1.0})
    timed = runs.records_of(wanted[:1], "timed", context, jobs=1)
    assert timed[0]["worst"] == first[0]["worst"]
    assert timed[0]["seconds"] >= 0
    assert runs.records_of(wanted[:1], "some", context)[0]["seconds"] == -1


def test_files_are_found_and_what_is_absent_is_said(folder):
    context = runs.Context(folder, folder / "results")
    np.savez(folder / "dominoes_efflite0.npz", X=np.eye(3), y=[0, 1, 0], split=[0, 1, 2])
    adult, dominoes, celeba = columns.columns_of(["adult_sex", "dominoes", "celeba"], context)
    assert (adult.title, adult.file.name) == ("Adult", "adult_sex.npz")
    assert (dominoes.title, dominoes.tuned) == ("Dominoes, efflite0", False)
    assert celeba.absent
    assert f"images in {folder / 'celeba'}" in celeba.looked_for
    assert str(folder / "celeba_erm_resnet50.npz") in celeba.looked_for
    (alone,) = columns.columns_of(["dominoes"], context, stand_ins=False, ways=["frozen"])
    assert alone.absent

    # The network of the published table comes before what stands in, fine-tuned brings its head.
    head = {"head_weight": np.eye(2, 3), "head_bias": np.zeros(2)}
    for name in ("dominoes_erm_resnet50", "dominoes_erm_efflite0"):
        np.savez(folder / f"{name}.npz", X=np.eye(3), y=[0, 1, 0], split=[0, 1, 2], **head)
    tuned, frozen = columns.columns_of(["dominoes"], context)
    assert tuned.title == "Dominoes, resnet50 ERM-tuned"
    assert tuned.load(0).head[0].shape == (2, 3)
    assert frozen.load(0).head is None


def test_images_come_before_files(folder, monkeypatch):
    context = runs.Context(folder, folder / "results", device="cpu")
    (folder / "birds").mkdir()
    np.savez(folder / "birds_efflite0.npz", X=np.eye(3), y=[0, 1, 0], split=[0, 1, 2])
    birds = DataSet("Birds", "birds", folder="birds", images=lambda path: {"from": path})
    monkeypatch.setattr(columns, "all_sets", lambda: {"birds": birds})
    asked = []

    def extract(images, path, network, tuned, device):
        asked.append((images["from"], path.name, network, tuned, device))
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, X=np.eye(3), y=[0, 1, 0], split=[0, 1, 2])

    monkeypatch.setattr(columns.networks, "extract", extract)
    for _ in range(2):  # the second time it is there
        tuned, frozen = columns.columns_of(["birds"], context)
        assert (tuned.title, frozen.title) == ("Birds, resnet50 ERM-tuned", "Birds, resnet50")
    assert asked == [
        (folder / "birds", "birds_erm_resnet50.npz", "resnet50", True, "cpu"),
        (folder / "birds", "birds_resnet50.npz", "resnet50", False, "cpu"),
    ]


def groups_of(data):
    return np.unique(data.groups_val, return_counts=True)[1].tolist()


@pytest.mark.parametrize(
    ("what", "counts"),
    [
        ("as given", [100, 60, 40, 20]),
        ("balanced", [20, 20, 20, 20]),
        ("skewed", [22, 2, 2, 20]),
        ("1/4", [25, 15, 10, 5]),
    ],
)
def test_validation_rows(what, counts):
    groups_train = np.repeat([0, 1, 2, 3], [900, 30, 10, 800])
    groups = np.repeat([0, 1, 2, 3], [100, 60, 40, 20])
    X = np.arange(220.0)[:, None]
    data = Bunch(X_val=X, y_val=groups // 2, groups_val=groups, groups_train=groups_train)
    drawn = rows.with_rows(data, what, 0)
    assert groups_of(drawn) == counts
    assert len(np.unique(drawn.X_val)) == sum(counts)
    assert (drawn.y_val == drawn.groups_val // 2).all()


def test_flipped_rows_are_in_the_other_class_with_the_same_attribute():
    groups = np.repeat([0, 1, 2, 3], 50)
    data = Bunch(X_val=groups[:, None], y_val=groups // 2, groups_val=groups)
    noisy = rows.with_rows(Bunch(**data), "10 % flipped", 0)
    wrong = noisy.y_val != data.y_val
    assert wrong.sum() == 20
    assert (noisy.groups_val[wrong] == (groups[wrong] + 2) % 4).all()
    assert (noisy.groups_val[~wrong] == groups[~wrong]).all()
    data.groups_val = groups % 3
    with pytest.raises(ValueError, match="two classes and four groups"):
        rows.with_rows(data, "10 % flipped", 0)


def test_other_units_leave_the_decisions_of_the_head():
    data = make_spurious_features(n_train=20, n_val=10, random_state=0)
    data.head = np.ones((2, data.X_train.shape[1])), np.zeros(2)
    before = data.X_test @ data.head[0].T
    after = rows.with_rows(data, "x20", 0)
    np.testing.assert_allclose(after.X_test @ after.head[0].T, before, rtol=1e-5)


def test_methods_are_tuned_over_equally_many_settings(folder):
    column = column_of(folder)
    data = make_spurious_features(n_train=120, n_val=80, n_test=40, random_state=0)
    data.head = None
    fast = ("JTT", "group DRO", "DFR", "AFR", "HSFMClassifier", "ERM", "LISA")
    data.groups_train = data.groups_val = None  # six settings also without them
    tried = {}
    for name in fast:
        method = all_methods()[name]._replace(groups=False)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "fit got no groups")
            tried[name] = n_settings(fitted(method, column, data, 0, "cpu"))
    once = {"HSFMClassifier": 1, "ERM": 1, "DFR": 7}
    assert tried == {name: once.get(name, 6) for name in fast}


def test_attributes_of_groups():
    assert attribute_of(np.array([0, 1, 2, 3])).tolist() == [0, 1, 0, 1]
    groups = ["y=landbird place=water", "y=waterbird place=land"]
    assert attribute_of(groups).tolist() == ["place=water", "place=land"]


def test_published_values_are_of_sets_and_methods_that_exist():
    tables = (paper.TABLE_1, paper.TABLE_2, paper.TABLE_4A, paper.TABLE_4B)
    for key, quoted in ((key, t[key]) for t in tables for key in t):
        assert key in all_sets()
        for worst, average in quoted.values():
            assert 0 < paper.accuracy(worst) <= paper.accuracy(average) < 1
    assert set(paper.TABLE_3) <= set(all_sets())
    assert set(paper.SAME_METHOD.values()) <= set(all_methods())
    assert paper.value_of(paper.TABLE_1, "waterbirds", "HSFM, as published") == (
        "93.1±0.1",
        "94.0±0.5",
    )
    assert paper.shown("93.1±0.1") == "0.931 ± 0.001"
    assert set(paper.not_run_here(paper.TABLE_1, "waterbirds")) == {"DaC", "DDB"}


def test_names_are_listed(capsys):
    with pytest.raises(SystemExit):
        command.main(["--help"])
    shown = capsys.readouterr().out
    assert all(f"  {name}" in shown for name in (*all_experiments(), "all"))


def test_committed_records_make_the_committed_tables():
    results = Path(runs.__file__).parent / "results"
    records = runs.read(results / "table1.jsonl")
    text = (results / "table1.md").read_text()
    wanted = {"features": "waterbirds_efflite2", "method": "DFR", "rows": "as given"}
    mine = [r["worst"] for r in records if wanted.items() <= r.items()]
    assert len(mine) >= 5
    assert f"{np.mean(mine):.3f} ± {np.std(mine):.3f}" in text


def test_random_features_stand_in_where_time_is_what_matters(tmp_path, monkeypatch):
    monkeypatch.setattr(table15, "SIZES", dict.fromkeys(table15.SIZES, (90, 60)))
    monkeypatch.setattr(table15, "METHODS", ("HSFM, as published",))
    monkeypatch.setattr(paper, "TABLE_15", {"metashift": 0.27, "waterbirds": 1.43})
    text = table15.run(runs.Context(tmp_path, tmp_path / "results", seeds=1))
    row = "| MetaShift's size, random features | HSFM, as published | validation labels; "
    assert row in text
    assert "| 0.27 min |" in text
    assert "1.43 min" in text


def test_judges_run(folder, capsys):
    judges.main(["--data-dir", str(folder), "--seeds", "1", "--sets", "adult"])
    shown = capsys.readouterr().out
    assert shown.count("| slices (the default) |") == len(judges.PARTS)
    assert shown.count("| DFR |") == len(judges.PARTS)


def test_speed_runs(folder, capsys, monkeypatch):
    monkeypatch.setattr(speed, "SIZES", {"metashift": (150, 60, 2, 1), "cub": (60, 40, 5, 1)})
    monkeypatch.setattr(speed, "N_FEATURES", 20)
    monkeypatch.setattr(speed, "GROWTH", {"n": (16, 32), "rows": (40, 80)})
    monkeypatch.setattr(speed.estimator_growth, "GROWTH", {"d": (8, 16), "C": (3,)})
    sizes = {"n_train": 120, "n_val": 90, "d": 8, "C": 2}
    monkeypatch.setattr(speed.estimator_growth, "BASE", sizes)
    parts = "fits", "estimators", "growth"
    speed.main(["--parts", *parts, "--sets", "metashift", "cub", "--repeats", "1"])
    shown = capsys.readouterr().out
    assert "| d | 120 | 90 | 16 | 2 | no |" in shown  # too few rows to tell
    assert "| C | 120 | 90 | 8 | 3 | " in shown
    assert (folder / "results" / "speed_estimators.png").is_file()
    assert shown.count("| metashift | 1 | ") == 1
    results = json.loads((folder / "results" / "speed.json").read_text())
    assert [r["n"] for r in results["growth"] if r["varied"] == "n"] == [16, 32]
    assert all(r["seconds"]["HSFM"][0] > 0 for r in results["fits"])


def test_edits_are_described(folder, capsys):
    np.savez(folder / "no_groups.npz", X=np.eye(3), y=[0, 1, 0], split=[0, 1, 2])
    edits.main(["--data-dir", str(folder), "--seeds", "1"])
    dominoes, row = capsys.readouterr().out.splitlines()[2:]
    assert dominoes.startswith("| digit dominoes | 0.")
    assert row.startswith("| adult_sex | 0.")
    assert "| 0 ± 0.18 |" in row  # 32 features


@pytest.mark.slow
def test_audits_are_counted(folder, capsys):
    for table in ("fitted", "labels", "spread"):
        audits.main([table, "--data-dir", str(folder), "--seeds", "1"])
        rows = capsys.readouterr().out.splitlines()[2:]
        assert all(row.startswith("| adult_sex") for row in rows)
        assert len(rows) >= 1
    audits.main(["verdicts", "--data-dir", str(folder), "--seeds", "1"])
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == [
        "| adult_sex",
        "| adult_sex, shuffled",
        "| adult_sex, balanced",
        "| digit dominoes",
        "| digits, upper half",
    ]
    assert "| 1 shortcut found | 1 works | " in rows[3]
    assert "| 1 no shortcut found | 1 nothing to repair | - |" in rows[4]


def test_a_folder_without_sets_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        audits.main(["labels", "--data-dir", str(tmp_path)])
    assert "has no .npz file" in capsys.readouterr().err
