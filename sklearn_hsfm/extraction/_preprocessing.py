"""From an image to what a network takes: its own preprocessing, or none where that is settled."""

import torch

_SLACK = 1e-3  # of floats in [0, 1] that went through arithmetic


def outside_unit(image):
    """Return in words where the values of a float tensor lie that cannot be in [0, 1], else ""."""
    low, high = image.min().item(), image.max().item()
    return f"[{low:.4g}, {high:.4g}]" if low < -_SLACK or high > 1 + _SLACK else ""


class Published:
    """The preprocessing that belongs to a network, for PIL images and floats in [0, 1]."""

    def __init__(self, transform):
        self.transform = transform

    def __call__(self, image):
        """Return the tensor; floats that are not of three channels, all in [0, 1], are refused."""
        if isinstance(image, torch.Tensor) and len(image) != 3:
            raise ValueError(
                "floats have 3 channels where they are to be preprocessed, and these have "
                f"{len(image)}. Repeat a grey channel three times; if the network takes them as "
                "they are, pass preprocess=None"
            )
        if isinstance(image, torch.Tensor) and (where := outside_unit(image)):
            raise ValueError(
                f"floats lie in [0, 1] where they are to be preprocessed, and these in {where}. "
                "Divide them by 255 if they come from eight bits; if they are preprocessed "
                "already, as by a dataset's own transform, pass preprocess=None"
            )
        return self.transform(image)

    def __repr__(self):
        return f"Published({self.transform!r})"


class Ready:
    """No preprocessing: images are tensors that the network takes as they are."""

    def __init__(self, network=None):
        self.network = network  # what "auto" knows nothing about

    def __call__(self, image):
        """Return the tensor untouched; what is none is refused."""
        if isinstance(image, torch.Tensor):
            return image
        if self.network is None:
            raise ValueError("with preprocess=None images are float tensors, and this is none")
        raise ValueError(
            f"preprocess='auto' does not know what a {self.network} was trained with. Pass a "
            "function from an RGB PIL image to a tensor as preprocess, such as "
            "torchvision.models.ResNet50_Weights.DEFAULT.transforms(), or float tensors that are "
            "ready for the network"
        )

    def __repr__(self):
        return "Ready()"


def preprocessing_of(network):
    """Return what belongs to a network that was passed, as far as its class tells."""
    if type(network).__module__.startswith("torchvision.models."):
        return Published(imagenet_preprocessing())
    if getattr(network, "pretrained_cfg", None) and type(network).__module__.startswith("timm."):
        import timm

        config = timm.data.resolve_model_data_config(network)
        return Published(timm.data.create_transform(**config, is_training=False))
    return Ready(type(network).__name__)


def imagenet_preprocessing():
    """Return resize to 256, crop of 224, and the mean and deviation of ImageNet."""
    from torchvision.transforms._presets import ImageClassification

    return ImageClassification(crop_size=224)
