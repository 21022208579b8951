"""Sizes and formats of a finished image, made by Pillow on this machine: they cost nothing.

The same image and settings give the same bytes as long as Pillow stays the same one.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from batchgen.job import Derivative
from batchgen.output.images import MAX_PIXELS, BrokenImage, Inspected
from batchgen.output.metadata.label import Embedded, Label, SourceType
from batchgen.output.metadata.reading import read_embedded
from batchgen.output.metadata.writing import labelled
from batchgen.record import DerivedFile, derived_path
from batchgen.text import shortened

if TYPE_CHECKING:
    from PIL.Image import Image

QUALITY = 85
"""Of JPEG and WebP, where the job does not say."""
WHITE = "#ffffff"


def derive(
    data: bytes, path: str, wanted: Derivative, label: Label | None
) -> tuple[bytes, DerivedFile]:
    """Make one size or format of an image; what its file holds, and what a record says of it.

    Takes some 50 ms and, for the time, 8 bytes for each pixel of the larger picture.

    Args:
        data: of the image.
        path: of the image, below the output.
        wanted: what to make.
        label: what the file is to say where the image says nothing of itself; None: nothing.

    Raises:
        BrokenImage: it cannot be made.
    """
    from PIL import Image  # noqa: PLC0415  # Pillow costs 50 ms that `--help` must not pay

    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
            _require_bounded(image.size)
            form = wanted.format or (image.format or "").lower()
            profile = _profile(image)
            picture = _shaped(_upright(image), wanted)
        made = _written(_flat(picture, wanted, form), form, wanted, profile)
    except BrokenImage:
        raise
    except Exception as error:  # Pillow raises whatever its coders raise
        text = f"Pillow cannot make {wanted.suffix} of it: {shortened(str(error), 200)}"
        raise BrokenImage(text) from error
    label = _label_of(read_embedded(io.BytesIO(data))) or label
    width, height = picture.size
    if label is not None:
        shape = Inspected(sha256="", format=form, width=width, height=height, is_decoded=True)
        made = labelled(made, shape, label)
    return made, DerivedFile(
        path=derived_path(path, wanted.suffix, form),
        sha256=hashlib.sha256(made).hexdigest(),
        bytes=len(made),
        format=form,
        width=width,
        height=height,
        suffix=wanted.suffix,
        settings=wanted.settings,
    )


def box(size: tuple[int, int], wanted: Derivative) -> tuple[int, int]:
    """Width and height, in pixels, of an image that is fitted into what is wanted, or covers it."""
    width, height = size
    scales = [
        side / own
        for side, own in ((wanted.width, width), (wanted.height, height))
        if side is not None
    ]
    if not scales:
        return size
    scale = max(scales) if wanted.fit == "cover" else min(scales)
    # The side that decides is exact: a product of fractions need not be.
    return _side(width, scale, wanted.width), _side(height, scale, wanted.height)


def _side(own: int, scale: float, wanted: int | None) -> int:
    if wanted is not None and scale == wanted / own:
        return wanted
    return max(1, round(own * scale))


def _profile(image: Image) -> bytes | None:
    """Its colour profile, if that is one of red, green and blue, which is what becomes of it."""
    profile: bytes | None = image.info.get("icc_profile")
    return profile if profile and profile[16:20] == b"RGB " else None


def _upright(image: Image) -> Image:
    """The picture as viewers show it: what its EXIF says of its orientation is not copied."""
    from PIL import ImageOps  # noqa: PLC0415  # as above

    return ImageOps.exif_transpose(image)


def _shaped(image: Image, wanted: Derivative) -> Image:
    """The picture in its size, with red, green, blue and, where anything is transparent, alpha."""
    from PIL import Image, ImageOps  # noqa: PLC0415  # as above

    size = box(image.size, wanted)
    _require_bounded(size)
    if image.mode.startswith("I"):  # 16 bits of grey, of which Pillow would keep the lower 8
        image = image.convert("I").point(lambda value: value / 257).convert("L")
    picture = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if wanted.fit == "cover" and wanted.width and wanted.height:
        whole = (wanted.width, wanted.height)
        return ImageOps.fit(picture, whole, Image.Resampling.LANCZOS)
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    if wanted.background is None or not (wanted.width and wanted.height):
        return picture
    whole = (wanted.width, wanted.height)
    if size == whole:
        return picture
    canvas = Image.new("RGB", whole, wanted.background)
    place = ((whole[0] - size[0]) // 2, (whole[1] - size[1]) // 2)
    canvas.paste(picture, place, picture if picture.mode == "RGBA" else None)
    return canvas


def _flat(picture: Image, wanted: Derivative, form: str) -> Image:
    """The picture on its background, where it has one or the format needs one."""
    from PIL import Image  # noqa: PLC0415  # as above

    background = wanted.background or (WHITE if form == "jpeg" else None)
    if background is None or picture.mode != "RGBA":
        return picture
    canvas = Image.new("RGB", picture.size, background)
    canvas.paste(picture, (0, 0), picture)
    return canvas


def _written(picture: Image, form: str, wanted: Derivative, profile: bytes | None) -> bytes:
    """The coded picture, with the colour profile of the image."""
    options: dict[str, Any] = {"icc_profile": profile or b""}  # left out, Pillow takes the image's
    if form != "png":
        options["quality"] = wanted.quality or QUALITY
    if form == "jpeg":
        options["optimize"] = True
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def _require_bounded(size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise BrokenImage(f"{size[0]}x{size[1]} pixels are more than {MAX_PIXELS:,}")


def plain_label(
    creator_tool: str, created_at: datetime, received_sha256: str, request: Mapping[str, Any]
) -> Label:
    """The label of a file whose image says nothing of itself: that a model made it.

    Args:
        creator_tool: who writes it.
        created_at: when the image was made.
        received_sha256: of the bytes that the service sent.
        request: what they were asked for with; an input image in it makes it an edited one.
    """
    is_edited = any(isinstance(value, dict) and "sha256" in value for value in request.values())
    return Label(
        creator_tool=creator_tool,
        created_at=created_at,
        source_type=SourceType.EDITED if is_edited else SourceType.GENERATED,
        received_sha256=received_sha256,
        model="",
        seed=0,
    )


def _label_of(told: Embedded | None) -> Label | None:
    """The label of an image for what is made of it: the same, and that it was derived."""
    if told is None or told.source_type not in tuple(SourceType) or told.received_sha256 is None:
        return None
    made = told.provenance
    return Label(
        creator_tool=told.creator_tool or "batchgen",
        created_at=_time(told.created_at),
        source_type=SourceType(told.source_type),
        received_sha256=told.received_sha256,
        model="" if made is None else made.model,
        seed=0 if made is None else made.seed,
        provenance=None if made is None else {**made.model_dump(mode="json"), "derived": True},
    )


def _time(text: str | None) -> datetime:
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
