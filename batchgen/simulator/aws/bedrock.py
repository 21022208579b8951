"""The control plane of Bedrock: which models there are, and whether an account may use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batchgen.simulator.calls import Answer, json_answer
from batchgen.simulator.errors import INVALID_MODEL, Refused
from batchgen.simulator.models import MODELS, offered, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchgen.simulator.credentials import Caller
    from batchgen.simulator.families.base import Model
    from batchgen.simulator.options import Options


def models(query: Mapping[str, str], caller: Caller, options: Options) -> Answer:
    """`ListFoundationModels`: those of the caller's Region."""
    found = [
        _details(model, caller.region)
        for model in MODELS.values()
        if offered(model, caller.region, options)
        and not (model.retired and options.end_of_life)
        and query.get("byProvider", "Stability AI").casefold() in {"stability ai", "stability"}
        and query.get("byOutputModality", "IMAGE") == "IMAGE"
        and query.get("byInferenceType", _inference(model)) == _inference(model)
    ]
    return json_answer({"modelSummaries": found})


def model(identifier: str, caller: Caller, options: Options) -> Answer:
    """`GetFoundationModel`."""
    known = _find(identifier)
    gone = known.retired and options.end_of_life
    if gone or not offered(known, caller.region, options):
        raise Refused("ResourceNotFoundException", "The provided model identifier is not found.")
    return json_answer({"modelDetails": _details(known, caller.region)})


def availability(identifier: str, caller: Caller, options: Options) -> Answer:
    """`GetFoundationModelAvailability`."""
    known = _find(identifier)
    may = known.id not in options.deny
    here = offered(known, caller.region, options)
    return json_answer(
        {
            "modelId": known.foundation,
            "agreementAvailability": {"status": "AVAILABLE" if may else "NOT_AVAILABLE"},
            "authorizationStatus": "AUTHORIZED" if may else "NOT_AUTHORIZED",
            "entitlementAvailability": "AVAILABLE" if may else "NOT_AVAILABLE",
            "regionAvailability": "AVAILABLE" if here else "NOT_AVAILABLE",
        }
    )


def profile(identifier: str, caller: Caller, options: Options) -> Answer:
    """`GetInferenceProfile`: every profile that calls can name, routed to the caller's Region."""
    known = resolve(identifier, caller.region, options)
    if identifier.startswith("stability.") or ":foundation-model/" in identifier:
        raise Refused("ResourceNotFoundException", "The provided profile is not found.")
    arn = f"arn:aws:bedrock:{caller.region}:{caller.account}:inference-profile/{identifier}"
    return json_answer(
        {
            "inferenceProfileName": known.title,
            "inferenceProfileArn": identifier if identifier.startswith("arn:") else arn,
            "inferenceProfileId": identifier.rpartition("/")[2],
            "models": [{"modelArn": _arn(known, region)} for region in _routed(known, caller)],
            "status": "ACTIVE",
            "type": "APPLICATION" if identifier in dict(options.arn) else "SYSTEM_DEFINED",
        }
    )


def _find(identifier: str) -> Model:
    name = identifier.rpartition("/")[2]
    known = MODELS.get(name) or MODELS.get(f"us.{name}")
    if known is None:
        raise Refused("ValidationException", INVALID_MODEL)
    return known


def _details(known: Model, region: str) -> dict[str, Any]:
    takes_images = known.schema != "core"
    return {
        "modelArn": _arn(known, region),
        "modelId": known.foundation,
        "modelName": known.title,
        "providerName": "Stability AI",
        "inputModalities": ["TEXT", "IMAGE"] if takes_images else ["TEXT"],
        "outputModalities": ["IMAGE"],
        "responseStreamingSupported": False,
        "customizationsSupported": [],
        "inferenceTypesSupported": [_inference(known)],
        "modelLifecycle": {"status": "LEGACY" if known.retired else "ACTIVE"},
    }


def _arn(known: Model, region: str) -> str:
    return f"arn:aws:bedrock:{region}::foundation-model/{known.foundation}"


def _routed(known: Model, caller: Caller) -> tuple[str, ...]:
    """The Regions that calls of a profile may go to."""
    return known.regions if known.by_profile else (caller.region,)


def _inference(known: Model) -> str:
    return "INFERENCE_PROFILE" if known.by_profile else "ON_DEMAND"
