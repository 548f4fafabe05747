"""Images that a diffusion model makes of training images, for `GeneratedRowsClassifier`."""

import inspect
import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state

from sklearn_hsfm._compat import Interval, StrOptions
from sklearn_hsfm._core.device import resolve_device
from sklearn_hsfm._diffusers import load_pipeline
from sklearn_hsfm._doc_link import DocLinkMixin
from sklearn_hsfm._progress import PROGRESS, bar
from sklearn_hsfm._typing import ArrayLike, ImagesLike, Progress, RandomStateLike
from sklearn_hsfm._version import VersionMixin
from sklearn_hsfm.extraction._images import Images
from sklearn_hsfm.finetuning._wanted_images import wanted_images

_SHARED_BY_CLONES = ("pipeline", "masks")  # gigabytes, and nothing here changes them
_OPTIONS = ("strength", "negative_prompt", "guidance_scale", "num_inference_steps")


class DiffusionGenerator(VersionMixin, DocLinkMixin, BaseEstimator):
    """Let a diffusion model repaint training images, until no cell is rare.

    An `ImageGenerator`: pass it to `GeneratedRowsClassifier`, or call it. Each image starts from a
    training image and follows the prompt of its label, or of its cell; with ``masks`` the rest of
    the image stays.

    Parameters
    ----------
    pipeline : str or diffusers pipeline
        A pipeline from image to image, or, with ``masks``, one that inpaints: loaded and on its
        device, or a name or folder that diffusers loads (extra ``unclip``), in float32, on a CUDA
        device where there is one. A name is loaded anew by each call. Further arguments are given
        by `functools.partial`.
    prompts : dict
        From a class label, or a pair (label, cell), to the text that describes its images. The
        pair is taken where there are both. Each cell that may get images needs one.
    masks : callable or array-like of shape (n_samples, height, width), default=None
        What is repainted, for pipelines that inpaint: a function of one RGB PIL image, or one mask
        for each training image, of its height and width in pixels: bool, numbers in [0, 1], or
        uint8 up to 255; what is 1, or 255, is repainted.
    source : {"cell", "other_classes"}, default="cell"
        Which training images are repainted: those of the cell, as where masks are of the
        background, or those of other classes in the same cell, whose label is then that of the
        prompt, as where masks are of the object. Cells are then what classes share, such as the
        background, and not groups.
    n_images : "balance", int, float or dict, default="balance"
        Images to make of each cell: as many as it has fewer than the largest, a number, or a ratio
        to its training images. A dict from class labels or pairs (label, cell) to numbers or
        ratios names the cells that get images, and no others do. Without cells each class is one.
    strength : float, default=None
        In (0, 1], how much noise the image starts with; 1 leaves nothing of what is repainted.
        None is the default of the pipeline, as with the next three.
    negative_prompt : str, default=None
        What no image is to show, for all prompts.
    guidance_scale : float, default=None
        Weight of the prompt.
    num_inference_steps : int, default=None
        Steps of the whole schedule, of which a part of size ``strength`` is taken.
    image_size : int, default=512
        Side in pixels, a multiple of 8, of the square that images are brought to for the pipeline.
        What it returns is brought back to the size of the training image.
    batch_size : int, default=4
        Images at a time. Each has noise of its own, which does not depend on it.
    random_state : int, RandomState instance or None, default=None
        Draws training images and noise.
    progress : {"auto"} or bool, default="auto"
        Whether to show a bar; "auto" does in terminals.

    See Also
    --------
    GeneratedRowsClassifier : Leaves out images that do not show their label, and fits the others.
    ImageGenerator : What other generators look like.
    sklearn_hsfm.inspection.decode_edits : Edits of features as generated images.

    Notes
    -----
    Tested with stand-ins and, where diffusers is installed, with pipelines of a few thousand
    random weights. It has not been run here with a pipeline of full size, whose weights are
    gigabytes: that its images repair a head is not shown.

    DDB [1]_ repaints the object in images of other classes: that is ``source="other_classes"``
    with masks of the object, and an inpainting pipeline with its own defaults. It learns
    a token for each class by textual inversion, and the masks are those of a segmentation model
    that is asked for the object: load the first into the pipeline and use it in ``prompts``, and
    pass the second as ``masks``; neither is here. It starts from the images of the smallest loss;
    here they are drawn evenly. FFR and ASPIRE differ in what they ask for.

    Weights are read from safetensors alone, and a folder with Python files is refused. An image
    whose mask is empty is left out, as is one that the pipeline's safety checker blackens. Outside
    the mask an image is what the pipeline gives back, which can differ a little from what it got.
    `sklearn.base.clone` shares the pipeline and the masks.

    References
    ----------
    .. [1] A. Y. Parast, B. Azam, N. Akhtar: "DDB: Diffusion Driven Balancing to Address Spurious
       Correlations", ICCV 2025, arXiv:2503.17226.

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from sklearn_hsfm.finetuning import DiffusionGenerator
    >>> images = np.random.RandomState(0).randint(256, size=(6, 64, 64, 3), dtype=np.uint8)
    >>> y = np.array(["cat", "cat", "cat", "cat", "dog", "dog"])
    >>> prompts = {"cat": "a photo of a cat", "dog": "a photo of a dog"}
    >>> def stand_in(prompt, image, generator):  # a pipeline of diffusers, or its name
    ...     return SimpleNamespace(images=[picture.rotate(180) for picture in image])
    >>> generate = DiffusionGenerator(stand_in, prompts, image_size=64, random_state=0)
    >>> made, labels, weight = generate(images, y)
    >>> len(made), labels.tolist(), weight
    (2, ['dog', 'dog'], None)
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        "pipeline": [str, callable],
        "prompts": [dict],
        "masks": [callable, "array-like", None],
        "source": [StrOptions({"cell", "other_classes"})],
        "n_images": [
            StrOptions({"balance"}),
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, None, closed="neither"),
            dict,
        ],
        "strength": [Interval(Real, 0, 1, closed="right"), None],
        "negative_prompt": [str, None],
        "guidance_scale": [Interval(Real, 0, None, closed="left"), None],
        "num_inference_steps": [Interval(Integral, 1, None, closed="left"), None],
        "image_size": [Interval(Integral, 8, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "progress": PROGRESS,
    }

    def __init__(
        self,
        pipeline: str | Callable[..., Any],
        prompts: dict[Any, str],
        *,
        masks: Callable[[Image.Image], Any] | ArrayLike | None = None,
        source: Literal["cell", "other_classes"] = "cell",
        n_images: Literal["balance"] | float | dict[Any, float] = "balance",
        strength: float | None = None,
        negative_prompt: str | None = None,
        guidance_scale: float | None = None,
        num_inference_steps: int | None = None,
        image_size: int = 512,
        batch_size: int = 4,
        random_state: RandomStateLike = None,
        progress: Progress = "auto",
    ):
        self.pipeline = pipeline
        self.prompts = prompts
        self.masks = masks
        self.source = source
        self.n_images = n_images
        self.strength = strength
        self.negative_prompt = negative_prompt
        self.guidance_scale = guidance_scale
        self.num_inference_steps = num_inference_steps
        self.image_size = image_size
        self.batch_size = batch_size
        self.random_state = random_state
        self.progress = progress

    def __call__(
        self, images: ImagesLike, y: ArrayLike, cells: ArrayLike | None = None
    ) -> tuple[list[Any], np.ndarray, None]:
        """Make images of training images.

        Parameters
        ----------
        images : images
            The training images, as in `FeatureExtractor.transform`.
        y : array-like of shape (n_samples,)
            Their labels.
        cells : array-like of shape (n_samples,), default=None
            Which cell each is in, such as a background that is known or inferred.

        Returns
        -------
        images : list of PIL image or Tensor of shape (3, height, width)
            As many as ``n_images`` asks for, less those that are left out; float tensors in [0, 1]
            where the training images are such, of the size of the training image.
        y : ndarray of shape (n_made,)
            Labels.
        weight : None
            It is `GeneratedRowsClassifier` that weighs them.

        Raises
        ------
        ImportError
            If ``pipeline`` is a name and diffusers is not installed.
        ValueError
            If a parameter is out of range; images, labels, cells and masks do not fit together;
            ``prompts`` or ``n_images`` has a key that is neither a class nor a pair, or a cell has
            no prompt; no image is asked for, or there is none to start from; the pipeline does not
            take masks that are given, or wants those that are not; its folder holds code; or no
            image is left.

        Warns
        -----
        UserWarning
            If images are left out.
        """
        self._validate_params()
        images = Images(images)
        rng = check_random_state(self.random_state)
        wanted = wanted_images(
            len(images),
            y,
            cells,
            prompts=self.prompts,
            n_images=self.n_images,
            source=self.source,
            rng=rng,
        )
        self._check_before_loading(len(images))
        pipeline = self.pipeline
        if isinstance(pipeline, str):
            task = "Image2Image" if self.masks is None else "Inpainting"
            pipeline = load_pipeline(pipeline, f"AutoPipelineFor{task}")
            pipeline.set_progress_bar_config(disable=True)  # ours counts images
            pipeline = pipeline.to(resolve_device("auto"))
        options = self._options(pipeline)
        seeds = rng.randint(2**31 - 1, size=len(wanted.y))
        made, kept = [], []
        with bar(self.progress, total=len(seeds), desc="images", leave=False) as shown:
            for start in range(0, len(seeds), self.batch_size):
                rows = range(start, min(start + self.batch_size, len(seeds)))
                for row, image in self._batch(pipeline, images, wanted, seeds, rows, options):
                    made.append(image)
                    kept.append(row)
                shown.update(len(rows))
        self._say_what_is_left_out(len(seeds), len(made))
        return made, wanted.y[kept], None

    def _check_before_loading(self, n_samples):
        if self.image_size % 8:
            raise ValueError(f"image_size={self.image_size} must be a multiple of 8.")
        if self.masks is not None and not callable(self.masks) and len(self.masks) != n_samples:
            raise ValueError(
                f"masks has {len(self.masks)} masks for {n_samples} images; give one for each "
                "training image, or a function."
            )

    def _options(self, pipeline):
        """Return the arguments that are the same for all batches."""
        takes = inspect.signature(pipeline).parameters
        name = type(pipeline).__name__
        if self.masks is not None and "mask_image" not in takes:
            raise ValueError(
                f"masks are for pipelines that inpaint, and this {name} takes no mask_image; "
                "diffusers.AutoPipelineForInpainting.from_pipe(pipeline) can make one of it."
            )
        if self.masks is None and "mask_image" in takes:
            raise ValueError(
                f"This pipeline, a {name}, inpaints: pass masks that say what is repainted, or a "
                "pipeline from image to image."
            )
        options = {key: getattr(self, key) for key in _OPTIONS if getattr(self, key) is not None}
        unknown = [key for key in options if key not in takes]
        if unknown:
            raise ValueError(f"This pipeline, a {name}, takes no {unknown}; leave it None.")
        options.pop("negative_prompt", None)  # of which there is one an image
        size = dict.fromkeys({"height", "width"} & set(takes), self.image_size)
        return options | size

    def _batch(self, pipeline, images, wanted, seeds, rows, options):
        """Return the images that are made of some rows, each with its row."""
        inputs = [(row, *self._input(images, wanted.sources[row])) for row in rows]
        inputs = [one for one in inputs if one[2] is None or one[2].getbbox()]  # has a mask
        if not inputs:
            return []
        rows, pictures, masks, are_float = zip(*inputs, strict=True)
        square = (self.image_size, self.image_size)
        given = {
            "prompt": [wanted.prompts[row] for row in rows],
            "image": [p.resize(square, Image.Resampling.BICUBIC) for p in pictures],
            "generator": [torch.Generator().manual_seed(int(seeds[row])) for row in rows],
        }
        if self.masks is not None:
            given["mask_image"] = [m.resize(square, Image.Resampling.NEAREST) for m in masks]
        if self.negative_prompt is not None:
            given["negative_prompt"] = [self.negative_prompt] * len(rows)
        result = pipeline(**given, **options)
        made = result.images
        if len(made) != len(rows) or not all(isinstance(m, Image.Image) for m in made):
            raise ValueError(
                f"pipeline was asked for {len(rows)} images, and returned {len(made)} of the kind "
                f"{type(made[0]).__name__ if len(made) else None}; it must be as many PIL images."
            )
        refused = getattr(result, "nsfw_content_detected", None) or [False] * len(rows)
        return [
            (row, _like(m, picture, is_float))
            for row, m, picture, is_float, bad in zip(
                rows, made, pictures, are_float, refused, strict=True
            )
            if not bad
        ]

    def _input(self, images, row):
        """Return a training image, its mask or None, and whether the image is of floats."""
        image = images.in_colour(row)
        picture, is_float = images.picture(row, image), isinstance(image, torch.Tensor)
        if self.masks is None:
            return picture, None, is_float
        mask = self.masks(picture) if callable(self.masks) else self.masks[row]
        return picture, _as_mask(mask, picture, images.name(row)), is_float

    def _say_what_is_left_out(self, n_wanted, n_made):
        if n_made == n_wanted:
            return
        why = "the mask is empty, or the safety checker of the pipeline refused them"
        if not n_made:
            raise ValueError(f"All {n_wanted} images are left out, for {why}; look at masks.")
        warnings.warn(
            f"{n_wanted - n_made} of {n_wanted} images are left out, for {why}.", stacklevel=3
        )

    def __sklearn_clone__(self):
        """Return a copy with the same pipeline and masks: nothing is fitted here."""
        params = self.get_params(deep=False)
        return type(self)(
            **{
                name: value if name in _SHARED_BY_CLONES else clone(value, safe=False)
                for name, value in params.items()
            }
        )


def _like(made, picture, is_float):
    """Return what was made, in the size and the form of the training image."""
    made = made.convert("RGB")
    if made.size != picture.size:
        made = made.resize(picture.size, Image.Resampling.BICUBIC)
    if not is_float:
        return made
    return torch.from_numpy(np.array(made)).permute(2, 0, 1).float() / 255  # (3, H, W)


def _as_mask(mask, picture, name):
    """Return a mask as a grey PIL image, white where it is repainted."""
    mask = np.asarray(mask)
    size = picture.size[::-1]
    if mask.shape != size:
        raise ValueError(f"masks gives the shape {mask.shape} for {name}; wanted: {size}.")
    if mask.dtype == np.uint8 and mask.max() > 1:
        return Image.fromarray(mask)
    if mask.dtype.kind not in "biuf" or not ((mask >= 0) & (mask <= 1)).all():
        raise ValueError(
            f"masks gives other values than those in [0, 1], or uint8, for {name}: it is "
            f"{mask.dtype}, from {mask.min()} to {mask.max()}."
        )
    return Image.fromarray((mask.astype(float) * 255).round().astype(np.uint8))
