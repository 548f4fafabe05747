"""Where the shortcut of Waterbirds is: regions on its images, and which are background."""

import numpy as np
from PIL import Image
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from torchvision.transforms.v2 import functional as F

from benchmarks.tables import markdown, page
from benchmarks.where._common import area, erm, extractor_of, worst_and_average
from sklearn_hsfm.datasets import load_waterbirds
from sklearn_hsfm.inspection import find_regions, masked_sensitivity

TITLE = "# Where the shortcut of Waterbirds is"
N_SEARCHED, N_MASKED = 800, 400
GRID = (3, 3)
SIDE = 224  # pixels that the network sees, of an image as of a region


def run(args):
    """Return the tables."""
    folder = args.waterbirds_dir
    if not (folder / "metadata.csv").is_file():
        return page(TITLE, f"**Waterbirds: absent.** Looked for {folder / 'metadata.csv'}.")
    if not args.boxes.is_file():
        return page(TITLE, f"**Boxes of the birds: absent.** Looked for {args.boxes}.")
    data = load_waterbirds(folder)
    bird = bird_boxes(args.boxes, folder / "metadata.csv", folder)
    extractor = extractor_of(args, squared).fit(data.X_train)
    features = {s: extractor.transform(data[f"X_{s}"]) for s in ("train", "test")}
    head = erm().fit(features["train"], data.y_train)
    worst, average = worst_and_average(head, features["test"], data.y_test, data.groups_test)
    found, clusters, masked = [], [], []
    for seed in range(args.seeds):
        for labels in ("real", "shuffled"):
            row, pointed = _search(data, bird, features, extractor, labels, seed)
            found.append(row)
            clusters += pointed
            masked.append(_masked(data, bird, features, extractor, labels, seed))
    return page(
        TITLE,
        f"{args.network}, frozen, {SIDE} x {SIDE} pixels, and a logistic regression (worst group "
        f"{worst}, average {average} on all test images). {N_SEARCHED} test images are searched, "
        f"each in {GRID[0]} x {GRID[1]} regions, and {N_MASKED} masked. Where the bird is, its box "
        "in CUB-200-2011 says; outlines are not used, so what counts as bird holds background as "
        "well. Shuffled: labels of both training and test images.\n\n"
        "Outside: how much of the area of the regions that are pointed to lies outside the box of "
        "the bird, beside that of the others. Beside: how many of them do not touch the box.",
        markdown(
            ["labels", "seed", "found", "clusters", "regions", "outside", "others", "beside",
             "others"],
            found,
        ),
        "The clusters that are pointed to: how many of their regions are of images on water, where "
        "half of the test images are, and the accuracy on images with such a region and without.",
        markdown(
            ["seed", "regions", "on water", "p", "influence", "landbird, with", "without",
             "waterbird, with", "without"],
            clusters,
        ),
        "With the box of the bird masked, and with all else masked:",
        markdown(
            ["labels", "seed", "AUC as given", "bird masked", "bird alone",
             "bird masked, training images"],
            masked,
        ),
    )  # fmt: skip


def squared(image):
    """Return an image, squeezed into a square, in the scaling of EfficientNet-Lite."""
    pixels = F.pil_to_tensor(image.convert("RGB").resize((SIDE, SIDE)))
    return (pixels.float() - 127) / 128


def bird_boxes(path, metadata, folder):
    """Return left, top, right, bottom of the bird by the path of its image.

    Images of Waterbirds have the numbers of CUB-200-2011, whose file has left, top, width, height.
    """
    of_number = {}
    for line in path.read_text().splitlines():
        number, *box = line.split()
        left, top, width, height = map(float, box)
        of_number[number] = left, top, left + width, top + height
    boxes = {}
    for line in metadata.read_text().splitlines()[1:]:
        number, name = line.split(",")[:2]
        boxes[str(folder / name)] = of_number[number]
    return boxes


def outside(boxes, birds):
    """Return the share of the area of each box that lies outside the bird's, both (n, 4)."""
    low = np.maximum(boxes[:, :2], birds[:, :2])
    high = np.minimum(boxes[:, 2:], birds[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    return 1 - shared / np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)


def _search(data, bird, features, extractor, labels, seed):
    """Return a row of what was found, and one for each cluster that is pointed to."""
    head, order, _, y_test = _fitted(data, features, labels, seed)
    rows = order[:N_SEARCHED]
    images = [data.X_test[i] for i in rows]
    found = find_regions(extractor, images, y_test[rows], head, grid=GRID, random_state=seed)
    pointed = found.pointed[found.cluster]
    share = outside(found.boxes, np.array([bird[str(image)] for image in images])[found.image])
    water = np.array(["place=water" in group for group in data.groups_test[rows]])[found.image]
    row = [labels, seed, found.found_, f"{found.pointed.sum()} of {len(found.pointed)}"]
    row += [f"{pointed.sum()} of {len(pointed)}"]
    for values in (share, share == 1):
        row += [f"{v.mean():.1%}" if len(v) else "-" for v in (values[pointed], values[~pointed])]
    clusters = []
    for k in np.flatnonzero(found.pointed):
        accuracies = np.stack([found.accuracy_with[k], found.accuracy_without[k]], axis=1)
        of_cluster = found.cluster == k
        clusters.append(
            [seed, of_cluster.sum(), f"{water[of_cluster].mean():.1%}",
             f"{found.p_value[k]:.3f}", f"{found.influence[k]:.2f}",
             *(f"{value:.2f}" for value in accuracies.ravel())]
        )  # fmt: skip
    return row, clusters


def _masked(data, bird, features, extractor, labels, seed):
    """Return a row of what is told with masks."""
    head, order, y_train, y_test = _fitted(data, features, labels, seed)
    model = make_pipeline(FrozenEstimator(extractor), head)
    told = []
    seen = np.random.RandomState(seed).permutation(len(y_train))
    for images, y, rows in ((data.X_test, y_test, order), (data.X_train, y_train, seen)):
        chosen = [images[i] for i in rows[:N_MASKED]]
        masks = _masks(chosen, bird)
        told.append(masked_sensitivity(model, chosen, masks, y[rows[:N_MASKED]], random_state=seed))
    return labels, seed, *(area(told[0], k) for k in range(3)), area(told[1], 1)


def _masks(images, bird):
    """Return where the bird is in each image, bool (height, width)."""
    masks = []
    for image in images:
        with Image.open(image) as file:
            mask = np.zeros((file.height, file.width), dtype=bool)
        left, top, right, bottom = np.round(bird[str(image)]).astype(int)
        mask[top:bottom, left:right] = True
        masks.append(mask)
    return masks


def _fitted(data, features, labels, seed):
    """Return the head, an order of the test images, and the labels of training and test."""
    rng = np.random.RandomState(seed)
    y_train, y_test = data.y_train, data.y_test
    if labels == "shuffled":
        y_train, y_test = rng.permutation(y_train), rng.permutation(y_test)
    order = np.random.RandomState(seed).permutation(len(y_test))  # the same for both labels
    return erm().fit(features["train"], y_train), order, y_train, y_test
