"""Pictures of samples: any of the forms that images come in, as arrays to draw."""

import numpy as np
from PIL import Image


def check_images(images, n_samples):
    """Return images that `picture` takes, one a sample; a wrong number of them is an error.

    Grey ones are an array of shape (n, height, width); for others see `FeatureExtractor`.
    """
    from sklearn_hsfm.extraction._images import Images

    if isinstance(images, np.ndarray) and images.ndim == 3:
        images = np.repeat(_grey(images)[..., None], 3, axis=-1)
    images = images if isinstance(images, Images) else Images(images)
    if len(images) != n_samples:
        raise ValueError(
            f"There are {len(images)} images for {n_samples} samples; give one for each sample."
        )
    return images


def _grey(images):
    """Return grey images as uint8: integers count from 0 to 255, other numbers from 0 to 1."""
    white = 255 if images.dtype.kind in "iu" else 1
    if images.dtype.kind not in "biuf" or not ((images >= 0) & (images <= white)).all():
        raise ValueError(
            f"images of dtype {images.dtype} hold values that are not between 0 and {white}. "
            "Integers must be between 0 and 255, floats between 0 and 1."
        )
    return np.round(images * (255 / white)).astype(np.uint8)


def picture(images, row):
    """Return one picture as uint8 (height, width, 3).

    Floats beyond [0, 1], which were preprocessed, are stretched over their own range; of other
    than three channels the mean is shown.
    """
    image = images.load(int(row))
    if isinstance(image, Image.Image):
        return np.asarray(image, dtype=np.uint8)
    image = image.numpy().transpose(1, 2, 0).astype(np.float64)
    if image.shape[2] != 3:
        image = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    low, high = image.min(), image.max()
    if low < 0 or high > 1:
        image = (image - low) / max(high - low, np.finfo(float).tiny)
    return np.round(image * 255).astype(np.uint8)
