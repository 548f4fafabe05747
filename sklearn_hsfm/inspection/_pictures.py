"""Pictures of rows: any of the forms that images come in, as arrays to draw."""

import numpy as np


def check_images(images, n_samples):
    """Return images that `picture` takes, one a row; a wrong number of them is an error.

    Grey ones are an array of shape (n, height, width); for others see `FeatureExtractor`.
    """
    from sklearn_hsfm.extraction._images import Images

    if isinstance(images, np.ndarray) and images.ndim == 3:
        images = np.clip(images, 0, 255 if images.dtype == np.uint8 else 1)
        images = images if images.dtype == np.uint8 else np.round(images * 255).astype(np.uint8)
        images = np.repeat(images[..., None], 3, axis=-1)
    images = images if isinstance(images, Images) else Images(images)
    if len(images) != n_samples:
        raise ValueError(
            f"There are {len(images)} images for {n_samples} rows; give one for each row."
        )
    return images


def picture(images, row):
    """Return one picture as uint8 (height, width, 3)."""
    image = images.load(int(row))
    if hasattr(image, "numpy"):  # a float tensor (3, height, width)
        image = np.round(np.clip(image.numpy(), 0, 1) * 255).transpose(1, 2, 0)
    return np.asarray(image, dtype=np.uint8)
