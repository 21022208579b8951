"""Request bodies, and what the service says of them."""

import base64
import io

from PIL import Image
from wire import CORE, SDXL

from batchgen.simulator.families.stable_image import ASPECT_RATIOS

ULTRA = "stability.stable-image-ultra-v1:1"
ULTRA_FIELDS = (
    "prompt",
    "negative_prompt",
    "mode",
    "strength",
    "seed",
    "output_format",
    "image",
    "aspect_ratio",
)
SD35 = "stability.sd3-5-large-v1:0"


def picture(width=640, height=640, file_format="PNG"):
    """A picture to send, in base64."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, file_format)
    return base64.b64encode(file.getvalue()).decode()


def malformed(what):
    """The frame of the validator's messages."""
    return f"Malformed input request: {what}, please reformat your input and try again."


def unknown(*fields):
    """What the service says to a field that it does not know."""
    listed = ", ".join(f"'{name}'" for name in fields)
    return f'{{"detail":"Invalid field in request. Available fields: [{listed}]"}}'


DIMENSIONS = (
    "invalid_sdxl_v1_dimensions: for stable-diffusion-xl-1024-v1-0 the allowed dimensions are "
    "1024x1024, 1152x896, 1216x832, 1344x768, 1536x640, 640x1536, 768x1344, 832x1216, 896x1152, "
    "but we received 512x512"
)


def text_prompts(**more):
    """An SDXL body with one prompt and more."""
    return {"text_prompts": [{"text": "a"}], **more}


ACCEPTED = [
    (CORE, {"prompt": ""}),
    (CORE, {"prompt": "a" * 10_000, "negative_prompt": "b", "seed": 4_294_967_295}),
    (CORE, {"prompt": "a", "mode": "text-to-image", "output_format": "WEBP"}),
    (ULTRA, {"prompt": "a", "image": picture(), "strength": 0.5}),
    (ULTRA, {"prompt": "a", "image": picture(file_format="WEBP")}),
    (
        SD35,
        {"prompt": "a", "image": picture(64, 64, "JPEG"), "strength": 1, "mode": "image-to-image"},
    ),
    (SD35, {"prompt": "a", "output_format": "webp", "seed": 4_294_967_294}),
    (SDXL, text_prompts()),
    (SDXL, text_prompts(seed=0, steps=150, samples=1, cfg_scale=0, extras={"any": ["thing"]})),
    (SDXL, text_prompts(width=640, height=1536, sampler="K_LMS", clip_guidance_preset="NONE")),
    (SDXL, text_prompts(init_image=picture(), image_strength=0.4)),
    (
        SDXL,
        text_prompts(init_image=picture(), mask_image=picture(), mask_source="MASK_IMAGE_BLACK"),
    ),
    *((CORE, {"prompt": "a", "aspect_ratio": ratio}) for ratio in ASPECT_RATIOS),
]


AGAIN = "Malformed input request, please reformat your input and try again."
REFUSED = [
    (CORE, b"", AGAIN),
    (CORE, b"{", AGAIN),
    (CORE, b"\xff", AGAIN),
    (CORE, b'{"prompt": NaN}', AGAIN),
    (CORE, b"[" * 100_000, AGAIN),
    (CORE, [], malformed("#: expected type: JSONObject, found: JSONArray")),
    (CORE, {}, malformed("#: required key [prompt] not found")),
    (CORE, {"prompt": None}, malformed("#/prompt: expected type: String, found: Null")),
    (
        CORE,
        {"prompt": "a" * 10_001},
        malformed("#/prompt: expected maxLength: 10000, actual: 10001"),
    ),
    (CORE, {"prompt": "a", "seed": -1}, malformed("#/seed: -1 is not greater or equal to 0")),
    (
        CORE,
        {"prompt": "a", "seed": 2**32},
        malformed("#/seed: 4294967296 is not less or equal to 4294967295"),
    ),
    (
        SD35,
        {"prompt": "a", "seed": 2**32 - 1},
        malformed("#/seed: 4294967295 is not less or equal to 4294967294"),
    ),
    (
        CORE,
        {"prompt": "a", "seed": "1"},
        malformed("#/seed: expected type: Integer, found: String"),
    ),
    (
        CORE,
        {"prompt": "a", "seed": 1.0},
        malformed("#/seed: expected type: Integer, found: BigDecimal"),
    ),
    (
        CORE,
        {"prompt": "a", "seed": True},
        malformed("#/seed: expected type: Integer, found: Boolean"),
    ),
    (
        CORE,
        {"prompt": "a", "aspect_ratio": "4:3"},
        malformed("#/aspect_ratio: 4:3 is not a valid enum value"),
    ),
    (
        ULTRA,
        {"prompt": "a", "output_format": "webp"},
        malformed("#/output_format: webp is not a valid enum value"),
    ),
    (CORE, {"seed": -1}, malformed("2 schema violations found")),
    (
        CORE,
        {"prompt": "a", "text_prompts": []},
        unknown("prompt", "negative_prompt", "mode", "seed", "output_format", "aspect_ratio"),
    ),
    (
        ULTRA,
        {"prompt": "a", "steps": 1},
        unknown(*ULTRA_FIELDS),
    ),
    (SD35, {"prompt": "a", "image": picture()}, malformed("#: required key [strength] not found")),
    (
        SD35,
        {"prompt": "a", "mode": "image-to-image"},
        malformed("#: required key [image] not found"),
    ),
    (
        ULTRA,
        {"prompt": "a", "image": "bm8gaW1hZ2U="},
        '{"detail":"Invalid image: not a PNG, JPEG or WebP picture in base64"}',
    ),
    (
        ULTRA,
        {"prompt": "a", "image": "é"},
        '{"detail":"Invalid image: not a PNG, JPEG or WebP picture in base64"}',
    ),
    (
        ULTRA,
        {"prompt": "a", "image": picture(63, 64)},
        '{"detail":"Invalid image: each side must have 64 pixels or more"}',
    ),
    (
        ULTRA,
        {"prompt": "a", "image": picture(4000, 4000)},
        '{"detail":"Invalid image: more than 9437184 pixels"}',
    ),
    (
        SDXL,
        {"text_prompts": []},
        malformed("#/text_prompts: expected minimum item count: 1, found: 0"),
    ),
    (
        SDXL,
        {"text_prompts": ["a"]},
        malformed("#/text_prompts/0: expected type: JSONObject, found: String"),
    ),
    (SDXL, {"text_prompts": [{}]}, malformed("#/text_prompts/0: required key [text] not found")),
    (
        SDXL,
        {"text_prompts": [{"text": "a", "weight": "1"}]},
        malformed("#/text_prompts/0/weight: expected type: Number, found: String"),
    ),
    (
        SDXL,
        {"text_prompts": [{"text": "a" * 2001}]},
        malformed("#/text_prompts/0/text: expected maxLength: 2000, actual: 2001"),
    ),
    (SDXL, text_prompts(samples=2), malformed("#/samples: 2 is not less or equal to 1")),
    (SDXL, text_prompts(steps=9), malformed("#/steps: 9 is not greater or equal to 10")),
    (SDXL, text_prompts(cfg_scale=35.5), malformed("#/cfg_scale: 35.5 is not less or equal to 35")),
    (SDXL, text_prompts(width=1000), malformed("#/width: 1000 is not a multiple of 64")),
    (SDXL, text_prompts(prompt="a"), malformed("#: extraneous key [prompt] is not permitted")),
    (SDXL, text_prompts(sampler="EULER"), malformed("#/sampler: EULER is not a valid enum value")),
    (
        SDXL,
        text_prompts(init_image=picture(), width=1024),
        malformed("#: extraneous key [width] is not permitted"),
    ),
    (
        SDXL,
        text_prompts(mask_source="INIT_IMAGE_ALPHA"),
        malformed("#: required key [init_image] not found"),
    ),
    (
        SDXL,
        text_prompts(width=512, height=512),
        DIMENSIONS,
    ),
]
