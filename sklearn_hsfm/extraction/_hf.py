"""Vision networks of transformers, with their image processors, from the hub or a folder."""

import os
from contextlib import contextmanager

import torch
from torch import nn

from sklearn_hsfm.extraction._need import need
from sklearn_hsfm.extraction._preprocessing import Published, Ready
from sklearn_hsfm.extraction._seeds import seeded
from sklearn_hsfm.extraction._weights import load_file

_IMAGES = "ForImageClassification"
_PICKLED = "pytorch_model.bin"
_PROCESSORS = ("preprocessor_config.json", "processor_config.json")


class Found:
    """A folder, or a name on the hub, with what its configuration says; no weights yet.

    No code that comes with weights is ever run, and no kernel that a configuration names.
    """

    def __init__(self, name):
        self.transformers = need("transformers", "hf")
        self.name, self.shown = name, f"hf:{name}"
        self.local = check_folder(name, self.shown)
        with self.fetching():
            self.config = self.transformers.AutoConfig.from_pretrained(
                name, trust_remote_code=False, attn_implementation=None
            )
        for config in (self.config, *map(self.part, ("vision_config", "text_config"))):
            if config is not None:  # it may name a kernel on the hub, which is code
                config._attn_implementation = None

    def part(self, name):
        """Return the configuration of one of two towers, or None."""
        return getattr(self.config, name, None)

    def was(self, ending):
        """Return whether the network that was saved is of a class whose name ends so."""
        return any(str(a).endswith(ending) for a in self.config.architectures or ())

    def load(self, factory, config=None):
        """Return a network with its published weights, and the names that the file lacks."""
        with self.fetching(), quiet(self.transformers):
            network, told = factory.from_pretrained(
                self.name,
                config=config or self.config,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        return _plain(network), sorted(told["missing_keys"])

    def draw(self, factory, config=None):
        """Return a network with random weights."""
        with quiet(self.transformers):
            if hasattr(factory, "from_config"):
                network = factory.from_config(config or self.config, trust_remote_code=False)
            else:
                network = factory(config or self.config)
        return _plain(network)

    @contextmanager
    def fetching(self):
        """Say what to do where a folder lacks a file, or the hub cannot be reached."""
        try:
            yield
        except Exception as error:  # each version of the library raises its own
            why = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:300]}"
            if not self.local:
                raise OSError(
                    f"{self.shown} could not be loaded ({why}). Where there is no network, name a "
                    "folder that save_pretrained wrote."
                ) from error
            if os.path.exists(os.path.join(self.name, _PICKLED)):
                raise ValueError(
                    f"{self.shown}: the folder has pickled weights ({_PICKLED}) and no "
                    "model.safetensors. Save it again with a version of transformers that writes "
                    f"safetensors; for images weights={os.path.join(self.name, _PICKLED)!r} reads "
                    "its tensors and nothing else."
                ) from error
            raise ValueError(f"{self.shown} could not be loaded ({why}).") from error


def check_folder(name, shown):
    """Return whether a name is that of a folder; what looks like one must be."""
    local = os.path.isdir(name)
    if not local and (os.path.isabs(name) or name.startswith((".", "~")) or not name):
        raise ValueError(f"{shown!r}: there is no folder {name!r}.")
    return local


@contextmanager
def quiet(transformers, bars_only=False):
    """Silence the library about weights that are absent: what that means is decided here."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    if not bars_only:
        logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def load_vision(name, weights, with_preprocessing, seed):
    """Return a network, its preprocessing or None, and its head if that is not in the file.

    A network that was saved as a classifier is one. An encoder is one whose output documents its
    vector, ``image_embeds`` or ``pooler_output``. Where the file lacks the pooler, the library's
    own classifier of this architecture, with a random head, shows on what a head is put instead.
    """
    found = Found(name)
    lacking = []
    for factory, config, classifies in _ways(found):
        with seeded(seed):
            network, lacks = _filled(found, factory, config, weights, bool(lacking))
        head = _layer_of(network, lacks)
        if not lacks or (classifies and head is not None):
            own = _preprocessing(found, network) if with_preprocessing else None
            return network, own, head
        lacking.append(lacks)
    raise ValueError(
        f"{found.shown}: the file lacks {', '.join(lacking[0][:3])}"
        f"{' and more' if len(lacking[0]) > 3 else ''}, which would be random. Name the folder of "
        "a network that was saved whole."
    )


def _ways(found):
    """Yield the classes that a network may be loaded as, the best first."""
    library, config = found.transformers, found.config
    if not found.was(_IMAGES):
        vision = found.part("vision_config") or config
        if config.model_type == "clip":
            vision.projection_dim = config.projection_dim
        projects = config.model_type == "clip" or found.was("CLIPVisionModelWithProjection")
        factory = library.CLIPVisionModelWithProjection if projects else library.AutoModel
        yield factory, vision, False
    if type(config) in library.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING:
        yield library.AutoModelForImageClassification, config, True


def _filled(found, factory, config, weights, as_fallback):
    """Return a network with its weights, and the names of those that are random."""
    if weights == "DEFAULT":
        return found.load(factory, config)
    network = found.draw(factory, config)
    if weights is None:
        return network, []
    if as_fallback:  # of an encoder, which has no names for the head
        inner = network.base_model_prefix + "."
        load_file(network.base_model, weights)
        return network, [n for n in network.state_dict() if not n.startswith(inner)]
    head = load_file(network, weights)
    return network, [] if head is None else [f"{head}.weight"]


def _layer_of(network, names):
    """Return the one linear layer to which all names belong, or None."""
    layers = {name.rpartition(".")[0] for name in names}
    if len(layers) == 1 and isinstance(network.get_submodule(*layers), nn.Linear):
        return layers.pop()
    return None


def _plain(network):
    """Return a network in float32 that does not know from where it came."""
    for module in network.modules():
        if hasattr(module, "name_or_path"):
            module.name_or_path = ""
        if hasattr(getattr(module, "config", None), "_name_or_path"):
            module.config._name_or_path = ""
    return network.float()


def _preprocessing(found, network):
    if found.local and not any(os.path.exists(os.path.join(found.name, f)) for f in _PROCESSORS):
        return Ready(type(network).__name__)
    with found.fetching(), quiet(found.transformers):
        processor = found.transformers.AutoImageProcessor.from_pretrained(
            found.name, trust_remote_code=False
        )
    return Published(_Processor(processor))


class _Processor:
    """An image processor of transformers as a function of one image, RGB or floats in [0, 1]."""

    def __init__(self, processor):
        self.processor = processor

    def __call__(self, image):
        options = {}
        if isinstance(image, torch.Tensor):
            options = {"do_rescale": False, "input_data_format": "channels_first"}
        made = self.processor(images=image, return_tensors="pt", **options)
        shape = tuple(getattr(made.get("pixel_values"), "shape", ()))
        if len(shape) != 4 or shape[:2] != (1, 3):
            raise ValueError(
                f"{type(self.processor).__name__} gives {', '.join(made)} with pixel_values of "
                f"shape {shape}, and not one image of three channels. Pass a function from an RGB "
                "PIL image to a tensor as preprocess"
            )
        return made["pixel_values"][0]

    def __repr__(self):
        return type(self.processor).__name__
