"""The tables and figures of the paper, and our own, each by one command.

``python -m benchmarks NAME`` runs what has no record yet and prints the table. Every run is a line
of ``NAME.jsonl`` in the results, the table is ``NAME.md``, a figure ``NAME.png``. A command that
was interrupted goes on where it stopped. To make every figure yourself, name an empty folder:
``--results MINE``. ``--methods`` and ``--sets`` make a part of a table, or one of other rows and
columns: it is printed, and its runs are kept, but ``NAME.md`` stays as it is.
"""

import argparse
import difflib
import os
from pathlib import Path

from benchmarks.columns import DATA_DIR, existing_folder
from benchmarks.experiments import OF_METHODS, all_experiments, table3
from benchmarks.methods import all_methods, hsfm
from benchmarks.runs import Context
from benchmarks.sets import all_sets

HERE = Path(__file__).parent


def main(argv=None):
    """Run the experiments that are asked for."""
    experiments = all_experiments()
    said = "\n".join(f"  {n:<12}{m.__doc__.splitlines()[0]}" for n, m in experiments.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=f"names:\n{said}\n  {'all':<12}All of them.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=[*experiments, "all"], metavar="NAME")
    parser.add_argument(
        "--data-dir",
        type=existing_folder,
        default=DATA_DIR,
        help="files of features, image folders",
    )
    parser.add_argument("--methods", nargs="+", default=[], metavar="METHOD", help=MEANT)
    parser.add_argument("--sets", nargs="+", default=[], metavar="SET", help=MEANT)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one seed on the set of the package alone, results in a folder of their own",
    )
    args = parser.parse_args(argv)
    check(args, parser)
    context = Context(
        args.data_dir, args.results, args.seeds, args.device, args.jobs, args.quick,
        tuple(args.methods), tuple(args.sets),
    )  # fmt: skip
    if args.quick:
        context = context._replace(
            data_dir=context.results / "no data", results=context.results / "quick", seeds=1
        )
    for name in experiments if args.name == "all" else [args.name]:
        text = experiments[name].run(context)
        context.results.mkdir(parents=True, exist_ok=True)
        if not (args.methods or args.sets):
            (context.results / f"{name}.md").write_text(text + "\n")
        print(f"{text}\n", flush=True)


MEANT = f"for {', '.join(OF_METHODS)}"


def check(args, parser):
    """End with a message where the arguments cannot be meant."""
    if args.results.exists() and not args.results.is_dir():
        parser.error(f"--results: {args.results} is no folder")
    if args.seeds < 1:
        parser.error(f"--seeds must be 1 or more, got {args.seeds}")
    methods = {*all_methods(), *hsfm.ON_TRAINING_ROWS, table3.OURS}
    for option, names, known in (
        ("--methods", args.methods, methods),
        ("--sets", args.sets, all_sets()),
    ):
        if names and (args.name not in OF_METHODS or args.quick):
            where = "with --quick" if args.quick else f"in {args.name}"
            parser.error(f"{option} cannot be chosen {where}, but in {', '.join(OF_METHODS)}")
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known) or sorted(known)
                parser.error(f"{option}: there is no {name!r}. Near it: {', '.join(near)}")


if __name__ == "__main__":
    main()
