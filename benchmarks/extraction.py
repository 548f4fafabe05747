"""Images a second of FeatureExtractor beside a plain loop, its cache, its memory, and kill -9.

``python -m benchmarks.extraction`` prints a table: the loop that one would write (decode a batch,
then run eager float32 torch) and ours, each in a process of its own; and what a second run and a
new process get from the cache. ``--kill`` instead kills a process in the middle of an extraction
of 2,000 images and runs it again.

Images are the files of ``--images``, else crops of scikit-learn's two photographs as JPEG.
"""

import argparse
import importlib.util
import json
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from sklearn.datasets import load_sample_images

from benchmarks.runs import machine
from sklearn_hsfm.extraction import FeatureCache, FeatureExtractor

REPEATS = 3  # of which the fastest counts: other work held it up least
SIZE = 375, 500  # height and width of the crops: those of most photographs of Waterbirds
ROWS = {
    "plain loop, float32": None,
    "FeatureExtractor, float32": {"precision": "float32"},
    "FeatureExtractor": {},
    "FeatureExtractor, OpenVINO": {"engine": "openvino"},
}


def main(argv=None):
    """Print the table, or what a killed run left."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.extraction", description=__doc__)
    parser.add_argument("--images", type=Path, help="folder of images")
    parser.add_argument("--n", type=int, help="images; 64 by default, 2000 with --kill")
    parser.add_argument("--backbone", default="resnet50", help="of torchvision, random weights")
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--cpu-time", action="store_true", help="where other work runs beside it")
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)  # in a process of its own
    parser.add_argument("--cache", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.row:
        return print(json.dumps(measure(args)))
    n = args.n or (2000 if args.kill else 64)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        folder = subset(args.images, n, scratch / "images")
        print(
            f"{machine('cpu')}, {torch.get_num_threads()} thread(s), torch {torch.__version__}, "
            f"torchvision {torchvision.__version__}, {args.backbone}, {n} images "
            f"of {args.images or 'generated JPEG'}, {'CPU' if args.cpu_time else 'wall'} time\n"
        )
        (killed if args.kill else table)(folder, args, scratch)


def table(folder, args, scratch):
    """Print a row for each way."""
    print("| | images/s | times the loop | again, images/s | times faster | decoding | memory |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    loop = None
    for k, row in enumerate(ROWS):
        if "OpenVINO" in row and not importlib.util.find_spec("openvino"):
            print(f"| {row} | needs openvino | - | - | - | - | - |")
            continue
        got = json.loads(run(row, folder, args, scratch / f"cache{k}").communicate()[0])
        loop = loop or got
        n = got["n"]
        again = ["-", "-"]
        if got["again"]:
            again = [f"{n / got['again']:.0f}", f"{got['first'] / got['again']:.0f}"]
        print(
            f"| {row} ({got['precision']}) | {n / got['first']:.1f} "
            f"| {loop['first'] / got['first']:.1f} | {' | '.join(again)} "
            f"| {loop['decoding'] / got['first']:.0%} | {got['memory']:.0f} MB |",
            flush=True,
        )


def run(row, folder, args, cache):
    """Start the process of a row."""
    command = [sys.executable, "-m", "benchmarks.extraction", "--row", row, "--cache", str(cache)]
    command += ["--images", str(folder), "--backbone", args.backbone]
    command += ["--cpu-time"] if args.cpu_time else []
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def measure(args):
    """Return the seconds of a first and a second run, of decoding, and the memory in MB."""
    clock = time.process_time if args.cpu_time else time.perf_counter
    files = sorted(map(str, args.images.iterdir()))
    params = ROWS[args.row]
    extractor = FeatureExtractor(args.backbone, weights=None, cache_dir=args.cache)
    got = {"n": len(files), "precision": "float32", "again": None, "decoding": None}
    if params is None:
        runs = [plain_loop(args.backbone, files, clock) for _ in range(REPEATS)]
        got["first"], got["decoding"] = min(runs)
    else:
        extractor.set_params(**params).fit(files)
        extractor.set_params(cache_dir=None).transform(files[:32])  # engines warm up
        got["precision"] = extractor.precision_
        extractor.set_params(cache_dir=args.cache)
        first, again = [], []
        for _ in range(REPEATS):
            FeatureCache(args.cache).clear()
            first.append(seconds_of(clock, extractor.transform, files))
            again.append(seconds_of(clock, extractor.transform, files))
        got["first"], got["again"] = min(first), min(again)
    got["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return got


def plain_loop(backbone, files, clock):
    """Return the seconds of the loop one would write, and of its decoding."""
    network = torchvision.models.get_model(backbone, weights=None).eval()
    preprocess = torchvision.models.get_model_weights(backbone).DEFAULT.transforms()
    with torch.no_grad():
        network(torch.zeros(2, 3, 224, 224))  # warm up
        start, decoding = clock(), 0
        for i in range(0, len(files), 32):
            begun = clock()
            batch = torch.stack(
                [preprocess(Image.open(f).convert("RGB")) for f in files[i : i + 32]]
            )
            decoding += clock() - begun
            network(batch)
        return clock() - start, decoding


def killed(folder, args, scratch):
    """Kill an extraction half-way, run it again, and print what was computed again."""
    files, cache = sorted(folder.iterdir()), FeatureCache(scratch / "cache")
    process = run("FeatureExtractor", folder, args, cache.path.parent)
    while len(cache) < len(files) // 2 and process.poll() is None:
        time.sleep(0.1)
    process.kill()  # SIGKILL: nothing in the process can react
    process.wait()
    kept = len(cache)
    extractor = FeatureExtractor(args.backbone, weights=None, cache_dir=cache.path.parent)
    extractor.fit(files)
    with counted_entries() as written:
        seconds = seconds_of(time.perf_counter, extractor.transform, files)
        computed = len(written)
        features = extractor.transform(files)
        again = len(written) - computed
    exact = extractor.set_params(cache_dir=None).transform(files)
    off = np.linalg.norm(features - exact) / np.linalg.norm(exact)
    print(
        f"Killed with {kept} of {len(files)} images in the cache. The next process computed "
        f"{computed} in {seconds:.0f} s, so {computed - (len(files) - kept)} of those kept; asked "
        f"once more, it computed {again}. Its features differ by {off:.1e} from those of a run "
        "without cache."
    )


@contextmanager
def counted_entries():
    """Yield a list that gets the key of each entry that a cache is given."""
    written, own = [], FeatureCache.put

    def put(self, features):
        written.extend(features)
        own(self, features)

    FeatureCache.put = put
    try:
        yield written
    finally:
        FeatureCache.put = own


def subset(images, n, folder):
    """Link the first n files of a folder, or write crops of photographs; return their folder."""
    folder.mkdir()
    if images:
        found = sorted(p for p in images.rglob("*") if p.suffix.lower() in (".jpg", ".png"))[:n]
        for i, path in enumerate(found):
            (folder / f"{i:05d}{path.suffix}").symlink_to(path.absolute())
        return folder
    rng, photos = np.random.RandomState(0), load_sample_images().images
    for i in range(n):
        top, left = (rng.randint(side - s) for side, s in zip(photos[0].shape, SIZE, strict=False))
        crop = photos[i % 2][top : top + SIZE[0], left : left + SIZE[1]]
        Image.fromarray(crop).save(folder / f"{i:05d}.jpg", quality=90)
    return folder


def seconds_of(clock, call, *args):
    """Return how long a call takes."""
    start = clock()
    call(*args)
    return clock() - start


if __name__ == "__main__":
    main()
