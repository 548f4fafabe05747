"""Parts of diffusion pipelines that are as small as they can be."""

SIZE = 32
ENCODER = {"hidden_size": SIZE, "intermediate_size": 37}  # of text, or of images
ENCODER |= {"num_attention_heads": 4, "num_hidden_layers": 1}
TEXT = {**ENCODER, "vocab_size": 4, "bos_token_id": 0, "eos_token_id": 1}


def small_parts(**unet):
    """Return tokenizer, UNet and autoencoder by name; ``unet`` is what the UNet has beside."""
    import diffusers
    import transformers

    words = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a": 2, "a</w>": 3}
    return {
        "tokenizer": transformers.CLIPTokenizer(vocab=words, merges=[], model_max_length=77),
        "unet": diffusers.UNet2DConditionModel(
            sample_size=SIZE // 2,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            block_out_channels=(32, 64),
            attention_head_dim=4,
            cross_attention_dim=SIZE,
            layers_per_block=1,
            **unet,
        ).eval(),
        "vae": diffusers.AutoencoderKL(
            block_out_channels=(32, 32),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
        ).eval(),
    }
