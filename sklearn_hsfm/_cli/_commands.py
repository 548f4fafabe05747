"""What the commands do."""

import csv
import io
import sys
from pathlib import Path

import numpy as np

from sklearn_hsfm._classifier_cv import HSFMClassifierCV
from sklearn_hsfm._cli._errors import one_line_errors, say
from sklearn_hsfm._cli._head_file import load_head, save_head
from sklearn_hsfm._cli._input import read, read_for
from sklearn_hsfm._cli._parser import parser_of
from sklearn_hsfm._validation_set import ValidationSet
from sklearn_hsfm.datasets._image_sets import SPLITS
from sklearn_hsfm.extraction._whole_files import whole
from sklearn_hsfm.metrics import group_scores


def run(argv):
    """Run the command that ``argv`` begins with."""
    args = parser_of(argv[0]).parse_args(argv[1:])
    with one_line_errors(traceback=args.traceback):
        if args.out is not None and not Path(args.out).absolute().parent.is_dir():
            raise FileNotFoundError(f"--out {args.out}: there is no such folder. Make it first.")
        COMMANDS[argv[0]](args)


def fit(args):
    """Fit a repaired head, say what was found, score it, and write it."""
    data = read(args)
    print(_sizes(data))
    known = {}
    if data.X_val is not None:
        groups = None if args.no_groups else data.groups_val
        known["X_val"] = ValidationSet(data.X_val, data.y_val, groups)
    if not args.no_groups:
        known["groups"] = data.groups_train
    clf = HSFMClassifierCV(init_head=data.head, device=args.device, random_state=args.seed)
    say("Fitting HSFMClassifierCV")
    clf.fit(data.X_train, data.y_train, **known)
    print(clf.summary())
    if data.X_test is not None:
        print(_scores(data.y_test, clf.predict(data.X_test), data.groups_test))
    if args.out is not None:
        save_head(args.out, clf, data.origin)
        print(f"\nThe head is in {args.out}.")


def audit(args):
    """Say whether there is a shortcut and where, and write a page or what each sample is."""
    from sklearn_hsfm import inspection  # which the other commands do not need

    data = read(args, ["train"])
    print(_sizes(data))
    say("Looking for a shortcut")
    repair = HSFMClassifierCV(device=args.device, random_state=args.seed)
    known = {"groups": data.groups_train, "images": data.images}
    found = inspection.audit(repair, data.X_train, data.y_train, **known, random_state=args.seed)
    print(found)
    if args.out is None:
        return
    if Path(args.out).suffix == ".html":
        found.save(args.out)
        say(f"Written: {args.out}")
        return
    header = ("sample", "class", "cell", "hurt", "hurt_score", "label_score", "doubtful")
    scores = (map(_short, found.hurt_scores), map(_short, found.label_scores))
    cells = found.cell_names[found.cell]
    columns = data.names_train, data.y_train, cells, found.hurt, *scores, found.label_scores > 0
    _write(args.out, header, zip(*columns, strict=True))


def predict(args):
    """Apply a head that was written, and write classes and probabilities."""
    head = load_head(args.head)
    X, names = read_for(head, args)
    proba = head.predict_proba(X)
    columns = names, head.predict(X), map(_short, proba.max(axis=1))
    _write(args.out, ("sample", "class", "probability"), zip(*columns, strict=True))


COMMANDS = {"fit": fit, "audit": audit, "predict": predict}


def _sizes(data):
    """Return how many samples there are of what."""
    counts = {s: len(data[f"y_{s}"]) for s in SPLITS if data[f"y_{s}"] is not None}
    known = [s for s in counts if data[f"groups_{s}"] is not None]
    classes = np.unique(data.y_train).tolist()
    shown = ", ".join(map(repr, classes[:5])) + (", ..." if len(classes) > 5 else "")
    return (
        f"Samples: {', '.join(f'{n} {s}' for s, n in counts.items())}; "
        f"{data.X_train.shape[1]} features.\n"
        f"Classes: {len(classes)} ({shown}). Groups: {', '.join(known) or 'none'}.\n"
    )


def _scores(y, predicted, groups):
    """Return accuracies on test samples with their intervals, the average first."""
    kind = "class" if groups is None else "group"
    scores = group_scores(y, predicted, y if groups is None else groups)
    whole_set = group_scores(y, predicted, np.zeros(len(y), dtype=int))
    rows = [("average", len(y), whole_set.average, whole_set.low[0], whole_set.high[0])]
    rows.append((f"worst {kind}", "", scores.worst, scores.worst_low, scores.worst_high))
    each = zip(scores.group, scores.count, scores.accuracy, scores.low, scores.high, strict=True)
    rows += [(f"{kind} {name}", *values) for name, *values in each]
    width = max(len(name) for name, *_ in rows)
    lines = [f"\n{'test':<{width}}  samples  accuracy  95 % interval"]
    for name, n, accuracy, low, high in rows:
        lines.append(f"{name:<{width}}  {n:>7}     {accuracy:.3f}  {low:.3f} to {high:.3f}")
    return "\n".join(lines)


def _short(value):
    return f"{value:.4g}"


def _write(path, header, rows):
    """Write a table to a file, or else to the terminal."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    if path is None:
        sys.stdout.write(text.getvalue())
        return
    with whole(Path(path)) as file:
        file.write(text.getvalue().encode())
    say(f"Written: {path}")
