"""Random vision networks of transformers, saved with a processor."""

import pytest
import torch

transformers = pytest.importorskip("transformers", reason="the extra [hf] is absent")

VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": 32,
    "patch_size": 8,
}
SWIN = {
    "image_size": 32,
    "patch_size": 4,
    "embed_dim": 8,
    "depths": [1, 1],
    "num_heads": [2, 2],
    "window_size": 4,
}
MAPS = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
TEXT = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "vocab_size": 99,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 1,
}
OF_NETWORK = "output of the network"
NETWORKS = {  # class, configuration, width, and where the features are
    "ViT": ("ViTModel", "ViTConfig", VIT, 32, OF_NETWORK),
    "ViT, classifier": ("ViTForImageClassification", "ViTConfig", VIT, 32, "input of classifier"),
    "DeiT": ("DeiTModel", "DeiTConfig", VIT, 32, OF_NETWORK),
    "DINOv2": ("Dinov2Model", "Dinov2Config", VIT, 32, OF_NETWORK),
    "DINOv2, classifier": (
        "Dinov2ForImageClassification", "Dinov2Config", VIT, 64, "input of classifier",
    ),
    "DINOv2 with registers": (
        "Dinov2WithRegistersModel", "Dinov2WithRegistersConfig", VIT, 32, OF_NETWORK,
    ),
    "DINOv3": ("DINOv3ViTModel", "DINOv3ViTConfig", VIT, 32, OF_NETWORK),
    "DINOv3, ConvNeXt": ("DINOv3ConvNextModel", "DINOv3ConvNextConfig", MAPS, 32, OF_NETWORK),
    "CLIP": (
        "CLIPModel",
        "CLIPConfig",
        {"text_config": TEXT, "vision_config": VIT, "projection_dim": 16},
        32,
        "input of visual_projection",
    ),
    "CLIP, vision": ("CLIPVisionModel", "CLIPVisionConfig", VIT, 32, OF_NETWORK),
    "CLIP, projected": (
        "CLIPVisionModelWithProjection",
        "CLIPVisionConfig",
        {**VIT, "projection_dim": 16},
        32,
        "input of visual_projection",
    ),
    "SigLIP": (
        "SiglipModel", "SiglipConfig", {"text_config": TEXT, "vision_config": VIT}, 32, OF_NETWORK,
    ),
    "SigLIP, vision": ("SiglipVisionModel", "SiglipVisionConfig", VIT, 32, OF_NETWORK),
    "BEiT": ("BeitModel", "BeitConfig", VIT, 32, OF_NETWORK),
    "BEiT, classifier": (
        "BeitForImageClassification", "BeitConfig", VIT, 32, "input of classifier",
    ),
    "Swin": ("SwinModel", "SwinConfig", SWIN, 16, OF_NETWORK),
    "Swin, classifier": (
        "SwinForImageClassification", "SwinConfig", SWIN, 16, "input of classifier",
    ),
    "ConvNeXt": ("ConvNextModel", "ConvNextConfig", MAPS, 32, OF_NETWORK),
    "ConvNeXt, classifier": (
        "ConvNextForImageClassification", "ConvNextConfig", MAPS, 32, "input of classifier",
    ),
    "ResNet": (
        "ResNetModel",
        "ResNetConfig",
        {**MAPS, "embedding_size": 8, "layer_type": "basic"},
        32,
        "output of the network, mean over axes (2, 3)",
    ),
    "ResNet, classifier": (
        "ResNetForImageClassification",
        "ResNetConfig",
        {**MAPS, "embedding_size": 8, "layer_type": "basic"},
        32,
        "input of classifier.1",
    ),
}  # fmt: skip


def saved(folder, kind, config, options, **more):
    """Save a random network as its authors would, and return it."""
    torch.manual_seed(0)
    config = getattr(transformers, config)(**options, **more)
    network = getattr(transformers, kind)(config).eval()
    for module in network.modules():  # fresh ones change nothing, and so would prove nothing
        if isinstance(module, torch.nn.LayerNorm | torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.bias, std=0.5)
    network.save_pretrained(folder)
    size = {"height": 32, "width": 32}
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    transformers.ViTImageProcessor(size=size, image_mean=mean, image_std=std).save_pretrained(
        folder
    )
    return network
