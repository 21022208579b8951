"""Content Credentials (C2PA): signed by the job's own certificate, and read from any file.

The one module that knows c2pa-python, which the extra `batchgen[c2pa]` brings. It fetches nothing:
no manifest of a file that names one elsewhere, no list of revoked certificates, no time stamp.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from batchgen.output.images import BrokenImage
from batchgen.output.metadata.label import Label, SourceType
from batchgen.output.paths import open_regular
from batchgen.text import system_reason

MISSING = "Content Credentials need the extra c2pa: pip install 'batchgen[c2pa]'"
LARGEST_PEM = 1 << 20
"""Bytes of a certificate or a key."""
SETTINGS = {
    "builder": {"thumbnail": {"enabled": False}},  # 177 KB an image
    "verify": {"verify_after_sign": False, "remote_manifest_fetch": False, "ocsp_fetch": False},
}
CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
UNTRUSTED = "signingCredential.untrusted"
"""C2PA's code for a certificate that no trust list names, as one of a job's own is."""
MODEL, SEED = "batchgen.model", "batchgen.seed"
"""Parameters of the action; names of one's own have a prefix."""


class CredentialsUnusable(ValueError):
    """Content Credentials cannot be signed or read; its text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What signed Content Credentials say, and what their signature is worth.

    Anybody may have signed them: to be shown cleaned.
    """

    is_intact: bool
    """Neither the picture nor what is said of it was changed since it was signed."""
    is_trusted: bool
    """A trust list names who signed. Never so for a certificate of one's own."""
    signed_by: str | None
    source_type: str | None
    model: str | None
    seed: int | None
    problems: tuple[str, ...]
    """C2PA's codes of what is wrong, but for the one that says untrusted."""


class Signer:
    """Signs images with one certificate; several threads may do so at once."""

    def __init__(self, certificate: bytes, key: bytes) -> None:
        """Prove certificate and key by signing a picture.

        Args:
            certificate: PEM, those that vouch for it behind it.
            key: PEM, without a password.

        Raises:
            CredentialsUnusable: they cannot sign, or do not belong together.
        """
        c2pa = _c2pa()
        try:
            info = c2pa.C2paSignerInfo(
                alg=_algorithm(key), sign_cert=certificate, private_key=key, ta_url=None
            )
            self._signer = c2pa.Signer.from_info(info)
            proof = {"action": "c2pa.created", "digitalSourceType": SourceType.GENERATED.value}
            signed = self._sign(_proof(), "png", proof)
        except c2pa.C2paError as error:
            raise CredentialsUnusable(f"certificate and key cannot sign: {error}") from error
        found = _read(signed)
        if found is None or not found.is_intact:
            codes = ", ".join(found.problems) if found else "nothing was signed"
            raise CredentialsUnusable(f"certificate and key do not make a valid signature: {codes}")

    def signed(self, data: bytes, image_format: str, label: Label) -> bytes:
        """The image with Content Credentials, of 3 to 4 KB; any byte that follows breaks them.

        Raises:
            BrokenImage: it could not be signed.
        """
        action = {
            "action": "c2pa.created",
            "when": label.created_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "digitalSourceType": label.source_type.value,
            "softwareAgent": {"name": label.model},
            "parameters": {MODEL: label.model, SEED: label.seed},
        }
        try:
            return self._sign(data, image_format, action, label.creator_tool)
        except _c2pa().C2paError as error:
            raise BrokenImage(f"Content Credentials could not be written: {error}") from error

    def _sign(
        self, data: bytes, image_format: str, action: dict[str, Any], tool: str = "batchgen"
    ) -> bytes:
        name, _, version = tool.partition(" ")
        manifest = {
            "claim_generator_info": [{"name": name, "version": version or "0"}],
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
        }
        target = io.BytesIO()
        builder = _c2pa().Builder(manifest, _context())
        builder.sign(self._signer, f"image/{image_format}", io.BytesIO(data), target)
        return target.getvalue()


def open_signer(certificate: Path, key: Path) -> Signer:
    """A signer with the certificate and the key of these files.

    Raises:
        CredentialsUnusable: they cannot be read, or cannot sign.
    """
    return Signer(_pem(certificate), _pem(key))


def read_credentials(path: Path) -> Credentials | None:
    """The Content Credentials of an image file; None if it has none.

    Raises:
        CredentialsUnusable: the extra is not installed, or they cannot be read.
        OSError: the file cannot be opened, or is a link, a pipe or a device.
    """
    with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
        return _read(file.read())


def _read(data: bytes) -> Credentials | None:
    c2pa = _c2pa()
    try:
        reader = c2pa.Reader.try_create(io.BytesIO(data), context=_context())
        if reader is None:
            return None
        with reader:
            told = json.loads(reader.json())
    except (c2pa.C2paError, ValueError, RecursionError) as error:
        raise CredentialsUnusable(f"its Content Credentials cannot be read: {error}") from error
    active = _mapping(_mapping(told.get("manifests")).get(told.get("active_manifest")))
    codes = list(_failures(told))
    created = next((each for each in _actions(active) if "digitalSourceType" in each), {})
    parameters = _mapping(created.get("parameters"))
    model, seed = parameters.get(MODEL), parameters.get(SEED)
    return Credentials(
        is_intact=told.get("validation_state") in ("Valid", "Trusted"),
        is_trusted=told.get("validation_state") == "Trusted",
        signed_by=_text(_mapping(active.get("signature_info")).get("common_name")),
        source_type=_text(created.get("digitalSourceType")),
        model=_text(model),
        seed=seed if type(seed) is int else None,
        problems=tuple(dict.fromkeys(code for code in codes if code != UNTRUSTED)),
    )


def _failures(told: dict[str, Any]) -> Iterator[str]:
    results = _mapping(_mapping(told.get("validation_results")).get("activeManifest"))
    for each in results.get("failure") or ():
        yield str(_mapping(each).get("code"))


def _actions(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for assertion in manifest.get("assertions") or ():
        each = _mapping(assertion)
        if str(each.get("label")).startswith("c2pa.actions"):
            yield from map(_mapping, _mapping(each.get("data")).get("actions") or ())


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _pem(path: Path) -> bytes:
    """The bytes of a PEM file.

    Raises:
        CredentialsUnusable: it cannot be read, or is too large for one.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_PEM + 1)
    except OSError as error:
        raise CredentialsUnusable(f"{path} cannot be read: {system_reason(error)}") from error
    if len(data) > LARGEST_PEM or b"-----BEGIN" not in data:
        raise CredentialsUnusable(f"{path} is no PEM file")
    return data


def _algorithm(key: bytes) -> str:
    """C2PA's name of the signatures that a key makes.

    Raises:
        CredentialsUnusable: it is no key for this, or has a password.
    """
    _c2pa()  # brings the package below
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415  # as `_c2pa`
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  # as `_c2pa`
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415  # too

    try:
        found = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CredentialsUnusable(f"the key cannot be read: {error}") from error
    if isinstance(found, ec.EllipticCurvePrivateKey) and found.curve.name in CURVES:
        return CURVES[found.curve.name]
    if isinstance(found, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(found, rsa.RSAPrivateKey):
        return "ps256"
    raise CredentialsUnusable("C2PA knows no signature of this kind of key")


def _proof() -> bytes:
    """A picture to try a signature on."""
    from PIL import Image  # noqa: PLC0415  # Pillow costs 50 ms that `--help` must not pay

    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    return file.getvalue()


@cache
def _context() -> Any:
    return _c2pa().Context.from_dict(SETTINGS)


def _c2pa() -> Any:
    """The package; imported late, for most runs sign nothing and it is an extra.

    Raises:
        CredentialsUnusable: it is not installed.
    """
    try:
        import c2pa  # noqa: PLC0415  # as above
    except ImportError as error:
        raise CredentialsUnusable(MISSING) from error
    return c2pa
