"""Loading a pipeline of diffusers (extra ``unclip``), and what is refused."""

from pathlib import Path


def load_pipeline(name, kind):
    """Return what the class ``kind`` of diffusers loads from a name or folder, tensors alone.

    Raises
    ------
    ImportError
        If diffusers is not installed.
    ValueError
        If the folder holds Python files.
    OSError
        If its weights are pickles.
    """
    try:
        import diffusers
    except ImportError as error:
        raise ImportError(
            f"Loading the pipeline {name!r} takes diffusers, which is not installed; "
            'pip install "sklearn-hsfm[unclip]" brings it.'
        ) from error
    if any(Path(name).rglob("*.py")):  # older diffusers run it without asking
        raise ValueError(
            f"The folder of the pipeline {name!r} holds Python files, and no code of others is run "
            "here; if you trust it, load it yourself and pass the pipeline."
        )
    return getattr(diffusers, kind).from_pretrained(name, use_safetensors=True)
