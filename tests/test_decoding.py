"""Edits as generated images: what a pipeline is asked, and a pipeline of random weights."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sklearn_hsfm import HSFMClassifier
from sklearn_hsfm.inspection import decode_edits
from tests.small_diffusion import ENCODER, SIZE, TEXT, small_parts


@pytest.fixture(scope="module")
def fitted(data):
    clf = HSFMClassifier(epochs=2, support_per_class=4, random_state=0)
    return clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)


class StandIn:
    """Answers with what it was asked: the embedding, and noise from the generator."""

    dtype, device = torch.float64, "cpu"

    def __call__(self, *, prompt, image_embeds, generator, **options):
        noise = torch.rand(1, generator=generator).item()
        return SimpleNamespace(images=[(prompt, image_embeds, noise, options)])


def test_pairs_are_the_support_before_and_after(fitted):
    pairs = decode_edits(fitted, StandIn(), rows=[5, 0], prompt="a bird", num_inference_steps=3)
    assert len(pairs) == 2
    for row, pair in zip([5, 0], pairs, strict=True):
        rows = fitted.support_init_[row], fitted.support_[row]
        for expected, (prompt, embedding, noise, options) in zip(rows, pair, strict=True):
            assert embedding.dtype == torch.float64
            assert embedding.numpy() == pytest.approx(expected[None])
            assert (prompt, options) == ("a bird", {"num_inference_steps": 3})
            assert noise == pairs[0][0][2]  # before and after start from the same noise


def test_bad_input_is_refused_before_anything_is_loaded(fitted, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ValueError, match=r"rows has \[8\]; the support has the samples 0 to 7"):
        decode_edits(fitted, "some/pipeline", rows=[8])
    with pytest.raises(ImportError, match=r'pip install "sklearn-hsfm\[unclip\]"'):
        decode_edits(fitted, "some/pipeline")
    other = StandIn()
    other.image_encoder = SimpleNamespace(config=SimpleNamespace(projection_dim=1024))
    with pytest.raises(ValueError, match=r"embeddings of 1024 features, but .* on 32"):
        decode_edits(fitted, other)


def test_a_real_pipeline_of_random_weights(fitted, tmp_path):
    pytest.importorskip("diffusers", reason="diffusers is not installed (extra 'unclip')")
    tiny_pipeline().save_pretrained(tmp_path / "tiny")
    ((before, after),) = decode_edits(fitted, str(tmp_path / "tiny"), num_inference_steps=2)
    assert before.size == after.size == (32, 32)
    assert (np.asarray(before) != np.asarray(after)).any()


def test_folders_with_code_or_pickles_are_refused(fitted, tmp_path):
    pytest.importorskip("diffusers", reason="diffusers is not installed (extra 'unclip')")
    tiny_pipeline().save_pretrained(tmp_path / "pickled", safe_serialization=False)
    with pytest.raises(OSError, match="safetensors"):
        decode_edits(fitted, str(tmp_path / "pickled"))
    tiny_pipeline().save_pretrained(tmp_path / "code")
    (tmp_path / "code" / "unet" / "mine.py").write_text("raise RuntimeError('I ran')")
    with pytest.raises(ValueError, match="holds Python files"):
        decode_edits(fitted, str(tmp_path / "code"))


def tiny_pipeline():
    """Return a Stable unCLIP whose every part is as small as it can be."""
    import diffusers
    import transformers
    from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import (
        StableUnCLIPImageNormalizer,
    )

    torch.manual_seed(0)
    vision = {**ENCODER, "image_size": SIZE, "patch_size": 16, "projection_dim": SIZE}
    return diffusers.StableUnCLIPImg2ImgPipeline(
        **small_parts(
            class_embed_type="projection", projection_class_embeddings_input_dim=2 * SIZE
        ),
        feature_extractor=transformers.CLIPImageProcessor(crop_size=SIZE, size=SIZE),
        image_encoder=transformers.CLIPVisionModelWithProjection(
            transformers.CLIPVisionConfig(**vision)
        ).eval(),
        image_normalizer=StableUnCLIPImageNormalizer(embedding_dim=SIZE),
        image_noising_scheduler=diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        text_encoder=transformers.CLIPTextModel(
            transformers.CLIPTextConfig(**TEXT, projection_dim=SIZE)
        ).eval(),
        scheduler=diffusers.DDIMScheduler(),
    )
