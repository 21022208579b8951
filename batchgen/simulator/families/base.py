"""The shape of a family module, and what several of them need."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from batchgen.simulator.errors import Refused
from batchgen.simulator.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchgen.simulator.calls import Finish, Result
    from batchgen.simulator.pictures.request import PictureRequest
    from batchgen.simulator.rules import Schema

MOST_SEED = 4_294_967_295
MOST_PIXELS = 9_437_184
"""Of a picture that is sent (AWS Bedrock User Guide, "Stability AI Image Services")."""
STYLE_PRESET = Rule(
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
)
"""The looks that a request may name."""
OREGON = ("us-west-2",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model id."""

    id: str
    title: str
    family: str
    """The key of its module in `FAMILIES`."""
    schema: str
    """Which of its family's `SCHEMAS` its requests are checked against."""
    regions: tuple[str, ...]
    rpm: int
    """Default requests a minute of one account in one Region."""
    quota_code: str
    """Of Service Quotas. AWS publishes those of SDXL only; the others are the simulator's."""
    quota_title: str | None = None
    """What Service Quotas calls it; None for a version that has the quota of another one."""
    price: Decimal
    """USD for one image."""
    price_many_steps: Decimal | None = None
    """USD for one image of more than 50 steps; None where steps are no parameter."""
    latency: tuple[float, float]
    """Shortest and longest time of one call, in seconds."""
    by_profile: bool = False
    """Only by an inference profile, which its id then is."""
    retired: bool = False
    """The real service answers that it is past its end of life."""

    @property
    def foundation(self) -> str:
        """Id of the model behind its profile."""
        return self.id.partition(".")[2] if self.by_profile else self.id


class Family(Protocol):
    """A family of models that share their wire format."""

    @property
    def MODELS(self) -> tuple[Model, ...]:  # noqa: N802 - a constant of the module
        """Its models: AWS's Regions and quotas, public price lists."""

    @property
    def SCHEMAS(self) -> Mapping[str, Schema]:  # noqa: N802 - a constant of the module
        """What the request body of each schema may hold (AWS Bedrock User Guide)."""

    def prompts(self, body: dict[str, Any]) -> str:
        """The text that moderation reads and that the picture shows."""

    def picture_request(self, model: Model, body: dict[str, Any], seed: int) -> PictureRequest:
        """What to paint.

        Raises:
            Refused: what only looking at the values together shows to be wrong.
        """

    def ended(self, finish: Finish, result: Result) -> Result:
        """What becomes of a finished result that moderation refused or generation failed.

        Raises:
            Refused: where this family answers with an error.
        """

    def answer(self, result: Result) -> tuple[bytes, ...]:
        """The reply's JSON text, in parts."""


def canonical(body: dict[str, Any]) -> str:
    """One text for equal requests, whatever the order of their keys; the seed counts elsewhere."""
    asked = {name: value for name, value in body.items() if name != "seed"}
    return json.dumps(asked, sort_keys=True)


def decode(text: str, name: str) -> tuple[bytes, int, int]:
    """A picture that was sent, with its width and height.

    Raises:
        Refused: the text is no base64, or the bytes are no picture of a fair size.
    """
    from PIL import Image  # noqa: PLC0415 - 50 ms that `--help` must not pay

    try:
        data = base64.b64decode(text, validate=True)
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as picture:
            width, height = picture.size
    except (ValueError, OSError, Image.DecompressionBombError, Warning):
        raise refused_picture(
            f"Invalid {name}: not a PNG, JPEG or WebP picture in base64"
        ) from None
    if width * height > MOST_PIXELS:
        raise refused_picture(f"Invalid {name}: more than {MOST_PIXELS} pixels")
    return data, width, height


def refused_picture(detail: str) -> Refused:
    """The error for a picture that was sent."""
    text = json.dumps({"detail": detail}, separators=(",", ":"))
    return Refused("ValidationException", text)
