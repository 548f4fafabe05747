"""decode_edits: support rows before and after their edits, as generated images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from sklearn_hsfm._classifier import HSFMClassifier
from sklearn_hsfm._diffusers import load_pipeline
from sklearn_hsfm.inspection._kept import check_keeps


def decode_edits(
    estimator: HSFMClassifier,
    pipeline: Any,
    rows: Sequence[int] = (0,),
    *,
    prompt: str = "",
    seed: int = 0,
    **options: Any,
) -> list[tuple]:
    """Return generated images of support samples, before and after their edits.

    Stable Diffusion unCLIP turns an image embedding of CLIP into an image; the paper's Figure 2
    shows edits this way (Section 5.3). Both images of a pair start from the same noise, so they
    differ by the edit alone.

    Parameters
    ----------
    estimator : HSFMClassifier
        Fitted, or what ``refit_best`` of `HSFMClassifierCV` returns, on image embeddings of the
        pipeline's own encoder, neither normalised nor of another layer.
    pipeline : str or StableUnCLIPImg2ImgPipeline
        A name or folder that diffusers loads (extra ``unclip``), or a pipeline that is loaded
        and on its device.
    rows : sequence of int, default=(0,)
        Indices into ``support_``.
    prompt : str, default=""
        Text that guides both images.
    seed : int, default=0
        Of the noise.
    **options : dict
        Further arguments of the pipeline, such as ``num_inference_steps=20``.

    Returns
    -------
    list of tuple
        Of each sample, the PIL images before and after.

    Raises
    ------
    ImportError
        If ``pipeline`` is a name and diffusers is not installed.
    ValueError
        If the estimator has no edited support, it lacks a sample, or the pipeline's embeddings have
        another number of features, or its folder holds Python files.
    OSError
        If its weights are pickles: safetensors are read, and nothing else.

    Notes
    -----
    Tested with a stand-in and, where diffusers is installed, with a pipeline of a few thousand
    random weights. It has not been run here with a pipeline of full size, whose weights are
    gigabytes.

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from sklearn_hsfm import HSFMClassifier
    >>> from sklearn_hsfm.datasets import make_spurious_features
    >>> from sklearn_hsfm.inspection import decode_edits
    >>> data = make_spurious_features(random_state=0)
    >>> clf = HSFMClassifier(epochs=1).fit(data.X_train, data.y_train)
    >>> def stand_in(prompt, image_embeds, generator):  # StableUnCLIPImg2ImgPipeline, or its name
    ...     return SimpleNamespace(images=["an image"])
    >>> decode_edits(clf, stand_in)
    [('an image', 'an image')]
    """
    check_keeps(estimator, "support_init_")
    n_support, d = estimator.support_.shape
    rows = np.ravel(np.asarray(rows)).tolist()
    unknown = [row for row in rows if not (isinstance(row, int) and 0 <= row < n_support)]
    if unknown:
        raise ValueError(f"rows has {unknown}; the support has the samples 0 to {n_support - 1}.")
    if isinstance(pipeline, str):
        pipeline = load_pipeline(pipeline, "StableUnCLIPImg2ImgPipeline")
    config = getattr(getattr(pipeline, "image_encoder", None), "config", None)
    wanted = getattr(config, "projection_dim", d)
    if wanted != d:
        raise ValueError(
            f"The pipeline decodes embeddings of {wanted} features, but the classifier was fitted "
            f"on {d}; fit it on embeddings of the pipeline's image_encoder."
        )

    def decode(row):
        embedding = torch.tensor(
            row[None],
            dtype=getattr(pipeline, "dtype", torch.float32),
            device=getattr(pipeline, "device", "cpu"),
        )  # (1, n_features)
        noise = torch.Generator().manual_seed(seed)
        images = pipeline(prompt=prompt, image_embeds=embedding, generator=noise, **options).images
        return images[0]

    pairs = np.stack([estimator.support_init_, estimator.support_], axis=1)
    return [tuple(decode(h) for h in pairs[row]) for row in rows]
