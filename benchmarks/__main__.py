"""The tables and figures of the paper, and our own, each by one command.

``python -m benchmarks NAME`` runs what has no record yet and prints the table. Every run is a line
of ``NAME.jsonl`` in the results, the table is ``NAME.md``, a figure ``NAME.png``. A command that
was interrupted goes on where it stopped. To make every figure yourself, name an empty folder:
``--results MINE``.
"""

import argparse
import os
from pathlib import Path

from benchmarks.experiments import all_experiments
from benchmarks.runs import Context

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
        "--data-dir", type=Path, default="../shared/data", help="files of features, image folders"
    )
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
    context = Context(args.data_dir, args.results, args.seeds, args.device, args.jobs)
    if args.quick:
        context = context._replace(
            data_dir=context.results / "no data", results=context.results / "quick", seeds=1,
            quick=True,
        )  # fmt: skip
    for name in experiments if args.name == "all" else [args.name]:
        text = experiments[name].run(context)
        context.results.mkdir(parents=True, exist_ok=True)
        (context.results / f"{name}.md").write_text(text + "\n")
        print(f"{text}\n", flush=True)


if __name__ == "__main__":
    main()
