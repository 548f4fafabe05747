"""The options of the commands."""

import argparse

from sklearn_hsfm.__about__ import __version__

VERSION = f"sklearn_hsfm {__version__}"
_ABOUT = {
    "fit": "Repair a last layer on data of your own, print what was found, and score it on test "
    "samples where there are some.",
    "audit": "Say whether there is a shortcut in the training samples, where, and whether a repair "
    "works, from class labels alone. Known groups add the accuracies in them.",
    "predict": "Apply a head that fit has written to images or features, and write a CSV.",
}


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message):
        self.exit(2, f"error: {message}. Try {self.prog} --help.\n")


def parser_of(command):
    """Return the parser of a command."""
    parser = _Parser(
        prog=f"python -m sklearn_hsfm {command}",
        description=_ABOUT[command],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        argument_default=None,
    )
    data = parser.add_argument_group("data, one of these")
    data = data.add_mutually_exclusive_group(required=True)
    data.add_argument(
        "--images", metavar="FOLDER", help="images in class folders; train, val, test"
    )
    data.add_argument("--table", metavar="CSV", help="a table that names images and labels")
    data.add_argument("--data", metavar="NPZ", help="features, or images, in one .npz file")
    columns = parser.add_argument_group("columns of a table")
    columns.add_argument("--image-folder", metavar="FOLDER", help="what file names are relative to")
    columns.add_argument("--image-column", metavar="NAME", default="auto", help="file names")
    if command != "predict":
        columns.add_argument("--label-column", metavar="NAME", default="auto", help="class labels")
        columns.add_argument("--split-column", metavar="NAME", default="auto", help="or 'none'")
        columns.add_argument("--group-column", metavar="NAME", help="group ids as they are")
        parser.add_argument(
            "--attribute",
            metavar="NAME",
            action="append",
            help="a column that makes groups with the label, may be repeated; of --images, what "
            "the folders in the class folders tell apart",
        )
    features = parser.add_argument_group("features of images")
    defaults = (None, None) if command == "predict" else ("resnet50", "default")
    features.add_argument(
        "--backbone", metavar="NAME", default=defaults[0], help="as of FeatureExtractor"
    )
    features.add_argument(
        "--weights", metavar="FILE|none|default", default=defaults[1], help="of the backbone"
    )
    features.add_argument("--cache-dir", metavar="FOLDER", help="where features are kept")
    features.add_argument("--batch-size", metavar="N", type=int, default=32, help="images at once")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    if command == "predict":
        parser.add_argument("--head", metavar="FILE", required=True, help="what fit has written")
        parser.add_argument("--out", metavar="CSV", help="where to write; else to the terminal")
    else:
        parser.add_argument("--seed", type=int, default=0, help="of all that is drawn")
    if command == "fit":
        parser.add_argument("--no-groups", action="store_true", help="fit without known groups")
        parser.add_argument("--out", metavar="FILE", help="where to write the head, a .npz file")
    if command == "audit":
        parser.add_argument(
            "--out", metavar="FILE", help="a page, FILE.html, or a table of samples, FILE.csv"
        )
    parser.add_argument("--traceback", action="store_true", help="show where an error comes from")
    parser.add_argument("--version", action="version", version=VERSION)
    return parser
