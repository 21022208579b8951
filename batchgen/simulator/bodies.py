"""The tables of what each model's body may hold (AWS Bedrock User Guide, "Stability AI models")."""

from __future__ import annotations

from types import MappingProxyType

from .rules import Rule, Schema

ASPECT_RATIOS = MappingProxyType(
    {
        "16:9": (1344, 768),
        "1:1": (1024, 1024),
        "21:9": (1536, 640),
        "2:3": (832, 1216),
        "3:2": (1216, 832),
        "4:5": (896, 1088),
        "5:4": (1088, 896),
        "9:16": (768, 1344),
        "9:21": (640, 1536),
    }
)
"""Width and height; AWS publishes only the ratios, these are the usual sizes of one megapixel."""
SIZES = (
    (1024, 1024),
    (1152, 896),
    (1216, 832),
    (1344, 768),
    (1536, 640),
    (640, 1536),
    (768, 1344),
    (832, 1216),
    (896, 1152),
)
_SEED = Rule(type="Integer", least=0, most=4_294_967_295)
_TEXT = Rule(type="String", longest=10_000)
_PICTURE = Rule(type="String")
_PNG_OR_JPEG = Rule(type="String", choices=("jpeg", "png"), any_case=True)
_ANY_FORMAT = Rule(type="String", choices=("jpeg", "png", "webp"), any_case=True)
_MODE = Rule(type="String", choices=("text-to-image", "image-to-image"))

_ULTRA = {
    "prompt": Rule(type="String", longest=10_000, required=True),
    "negative_prompt": _TEXT,
    "mode": _MODE,
    "strength": Rule(type="Number", least=0, most=1),
    "seed": _SEED,
    "output_format": _PNG_OR_JPEG,
    "image": _PICTURE,
    "aspect_ratio": Rule(type="String", choices=tuple(ASPECT_RATIOS)),
}
"""In the order in which the service lists the fields it knows."""
_CORE = {
    **{name: rule for name, rule in _ULTRA.items() if name not in {"strength", "image"}},
    "mode": Rule(type="String", choices=("text-to-image",)),
    "output_format": _ANY_FORMAT,
}
_SD35 = {
    **_ULTRA,
    "seed": Rule(type="Integer", least=0, most=4_294_967_294),
    "output_format": _ANY_FORMAT,
}

_SDXL = {
    "text_prompts": Rule(
        type="JSONArray",
        required=True,
        fewest=1,
        items={
            "text": Rule(type="String", longest=2000, required=True),
            "weight": Rule(type="Number"),
        },
    ),
    "cfg_scale": Rule(type="Number", least=0, most=35),
    "clip_guidance_preset": Rule(
        type="String",
        choices=("FAST_BLUE", "FAST_GREEN", "NONE", "SIMPLE", "SLOW", "SLOWER", "SLOWEST"),
    ),
    "height": Rule(type="Integer", step=64),
    "width": Rule(type="Integer", step=64),
    "sampler": Rule(
        type="String",
        choices=(
            "DDIM",
            "DDPM",
            "K_DPMPP_2M",
            "K_DPMPP_2S_ANCESTRAL",
            "K_DPM_2",
            "K_DPM_2_ANCESTRAL",
            "K_EULER",
            "K_EULER_ANCESTRAL",
            "K_HEUN",
            "K_LMS",
        ),
    ),
    "samples": Rule(type="Integer", least=1, most=1),
    "seed": _SEED,
    "steps": Rule(type="Integer", least=10, most=150),
    "style_preset": Rule(
        type="String",
        choices=(
            "3d-model",
            "analog-film",
            "anime",
            "cinematic",
            "comic-book",
            "digital-art",
            "enhance",
            "fantasy-art",
            "isometric",
            "line-art",
            "low-poly",
            "modeling-compound",
            "neon-punk",
            "origami",
            "photographic",
            "pixel-art",
            "tile-texture",
        ),
    ),
    "extras": Rule(type="JSONObject"),
    "init_image": _PICTURE,
    "init_image_mode": Rule(type="String", choices=("IMAGE_STRENGTH", "STEP_SCHEDULE")),
    "image_strength": Rule(type="Number", least=0, most=1),
    "step_schedule_start": Rule(type="Number", least=0, most=1),
    "step_schedule_end": Rule(type="Number", least=0, most=1),
    "mask_source": Rule(
        type="String", choices=("MASK_IMAGE_WHITE", "MASK_IMAGE_BLACK", "INIT_IMAGE_ALPHA")
    ),
    "mask_image": _PICTURE,
}

SCHEMAS = MappingProxyType(
    {
        "core": Schema(rules=_CORE, names_fields=True),
        "ultra": Schema(rules=_ULTRA, names_fields=True),
        "sd3": Schema(rules=_ULTRA, names_fields=True, needs={"image": ("strength",)}),
        "sd3.5": Schema(rules=_SD35, names_fields=True, needs={"image": ("strength",)}),
        "sdxl": Schema(
            rules=_SDXL,
            sizes=SIZES,
            needs={"mask_image": ("init_image", "mask_source"), "mask_source": ("init_image",)},
            excludes={"init_image": ("width", "height")},
        ),
    }
)
