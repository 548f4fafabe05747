"""Where the shortcut is, on images.

``python -m benchmarks.where TABLE --data-dir DIR`` writes ``where_TABLE.md`` to the results.
``dominoes`` searches the images of Dominoes for regions, masks them and makes rows for a repair;
``waterbirds`` searches the images of Waterbirds and says how much of what it points to is
background; ``patches`` trains small networks on Dominoes with a trigger in some images, probes
them with patches and defends them; ``speed`` times all three on 2,000 small images.

Dominoes is ``DIR/dominoes_images.npz`` (X_train, y_train, group_train and so on for val and test,
pixels (n, 64, 32, 3)). Waterbirds is the folder of its release, and ``--boxes`` the
bounding_boxes.txt of CUB-200-2011, whose images these are. What is absent is said, and skipped.
"""

import argparse
from pathlib import Path

from benchmarks.columns import DATA_DIR, existing
from benchmarks.where import dominoes, patches, speed, waterbirds

TABLES = {
    module.__name__.split(".")[-1]: module for module in (dominoes, patches, speed, waterbirds)
}
RESULTS = Path(__file__).parents[1] / "results"


def main(argv=None):
    """Print a table and write it to the results."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.where",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("table", choices=sorted(TABLES))
    parser.add_argument("--data-dir", type=existing, default=DATA_DIR)
    parser.add_argument("--waterbirds-dir", type=existing, help="DIR/waterbirds by default")
    parser.add_argument("--boxes", type=existing, help="DIR/bounding_boxes.txt by default")
    parser.add_argument(
        "--network",
        default="efficientnet-lite0",
        help="with its ImageNet weights; or MODULE:FUNCTION, which returns a network without its "
        "head, and a preprocessing",
    )
    parser.add_argument("--engine", default="torch", choices=("torch", "openvino"))
    parser.add_argument("--cache-dir", type=Path, help="of the features")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args(argv)
    args.waterbirds_dir = args.waterbirds_dir or args.data_dir / "waterbirds"
    args.boxes = args.boxes or args.data_dir / "bounding_boxes.txt"
    text = TABLES[args.table].run(args)
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / f"where_{args.table}.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
