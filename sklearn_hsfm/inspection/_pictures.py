"""Pictures of rows: any of the forms that images come in, as arrays to draw."""

import numpy as np


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
    """Return one picture as uint8 (height, width, 3)."""
    image = images.in_colour(int(row))
    if hasattr(image, "numpy"):  # a float tensor (3, height, width)
        image = np.round(np.clip(image.numpy(), 0, 1) * 255).transpose(1, 2, 0)
    return np.asarray(image, dtype=np.uint8)
