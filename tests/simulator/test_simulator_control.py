"""The other services that a client asks about itself, through the SDK's own clients."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import boto3
import pytest
from botocore.exceptions import ClientError
from wire import CORE, SDXL, authorization, wired

from batchgen.simulator.credentials import account_of

ROLE = "arn:aws:iam::444455556666:role/night/batch"


def test_sts_tells_the_account_of_a_key(bench):
    """The one that its quota belongs to."""
    identity = bench.client("sts").get_caller_identity()

    assert identity["Account"] == account_of("x")
    assert identity["Arn"] == f"arn:aws:iam::{account_of('x')}:user/simulated"


def test_the_keys_of_an_assumed_role_belong_to_its_account(bench):
    """They work for calls, and the ledger shows the other account."""
    answer = bench.client("sts").assume_role(
        RoleArn=ROLE, RoleSessionName="night", DurationSeconds=900
    )
    keys = {
        "aws_access_key_id": answer["Credentials"]["AccessKeyId"],
        "aws_secret_access_key": answer["Credentials"]["SecretAccessKey"],
        "aws_session_token": answer["Credentials"]["SessionToken"],
    }
    bench.client(**keys).invoke_model(modelId=CORE, body=b'{"prompt": "a"}')

    assert answer["AssumedRoleUser"]["Arn"].endswith("assumed-role/batch/night")
    assert bench.client("sts", **keys).get_caller_identity()["Account"] == "444455556666"
    assert [entry["account"] for entry in bench.ledger()] == ["444455556666"]


@pytest.mark.parametrize(
    ("action", "code"), [("Other", "InvalidAction"), ("AssumeRole", "ValidationError")]
)
async def test_sts_refuses_what_it_cannot_do(action, code):
    """In XML."""
    async with wired() as wire:
        headers = {"Authorization": authorization(service="sts")}
        heard = await wire.post(f"Action={action}".encode(), "/", headers=headers)

    assert heard.status == 400
    assert f"<Code>{code}</Code>".encode() in heard.body


async def test_errors_of_sts_have_the_names_of_sts():
    """`ExpiredToken`, where Bedrock says `ExpiredTokenException`."""
    async with wired(expire=["*=0"]) as wire:
        headers = {"Authorization": authorization(service="sts")}
        heard = await wire.post(b"Action=GetCallerIdentity", "/", headers=headers)

    assert heard.status == 403
    assert b"<Code>ExpiredToken</Code>" in heard.body


def test_service_quotas_lists_the_quota_of_each_model_by_name(bench):
    """On all pages."""
    pages = bench.client("service-quotas").get_paginator("list_service_quotas")
    listed = [
        quota
        for page in pages.paginate(ServiceCode="bedrock", PaginationConfig={"PageSize": 4})
        for quota in page["Quotas"]
    ]
    prefix = "On-demand model inference requests per minute for "
    values = {quota["QuotaName"].removeprefix(prefix): quota["Value"] for quota in listed}

    assert values["Stability.ai Stable Image Core"] == 90
    assert values["Stability.ai Stable Image Ultra"] == 10
    assert values["Stability.ai Stable Diffusion 3.5 Large"] == 15
    assert not any(quota["Adjustable"] for quota in listed)


def test_one_quota_can_be_asked_for_by_its_code(bench):
    """Unknown codes and services are said to be so."""
    client = bench.client("service-quotas")
    quota = client.get_service_quota(ServiceCode="bedrock", QuotaCode="L-CC58F0A8")["Quota"]

    assert quota["QuotaName"].endswith("Stability.ai Stable Diffusion XL 1.0")
    with pytest.raises(client.exceptions.NoSuchResourceException):
        client.get_service_quota(ServiceCode="bedrock", QuotaCode="L-00000000")
    with pytest.raises(client.exceptions.NoSuchResourceException):
        client.list_service_quotas(ServiceCode="vpc")


async def test_the_applied_quota_is_the_one_that_is_metered():
    """The default stays what it was."""

    async def asked(wire, operation):
        headers = {
            "Authorization": authorization(service="servicequotas"),
            "X-Amz-Target": f"ServiceQuotasV20190624.{operation}",
        }
        return await wire.post({"ServiceCode": "bedrock"}, "/", headers=headers)

    async with wired(requests_per_minute="45") as wire:
        applied = await asked(wire, "ListServiceQuotas")
        default = await asked(wire, "ListAWSDefaultServiceQuotas")
        unknown = await asked(wire, "CloseAccount")

    assert applied.json["Quotas"][0]["Value"] == 45
    assert default.json["Quotas"][0]["Value"] == 90
    assert unknown.json["__type"] == "UnknownOperationException"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"[", "SerializationException"),
        ({"ServiceCode": "bedrock", "NextToken": "x"}, "InvalidPaginationTokenException"),
        ({"ServiceCode": "bedrock", "MaxResults": []}, "InvalidPaginationTokenException"),
    ],
)
async def test_service_quotas_refuses_what_it_cannot_read(body, error):
    """By name, in the body."""
    async with wired() as wire:
        headers = {
            "Authorization": authorization(service="servicequotas"),
            "X-Amz-Target": "ServiceQuotasV20190624.ListServiceQuotas",
        }
        heard = await wire.post(body, "/", headers=headers)

    expected = (200, None) if "MaxResults" in str(body) else (400, error)
    assert (heard.status, heard.json.get("__type")) == expected


@pytest.mark.parametrize(
    ("service", "body"),
    [
        ("servicequotas", b"[" * 100_000),
        (
            "sts",
            b"Action=AssumeRole&RoleSessionName=s&DurationSeconds=" + b"9" * 5000,
        ),
        (None, b"[" * 100_000),
    ],
)
async def test_a_request_of_absurd_size_or_depth_is_refused(service, body):
    """With an answer, not with a fault of the simulator's."""
    signed = {"Authorization": authorization(service=service)} if service else {}
    async with wired() as wire:
        heard = await wire.post(body, "/" if service else "/simulator/faults", headers=signed)
        listed = await wire.post(b"", f"/simulator/ledger?after={'9' * 5000}", method="GET")

    assert (heard.status, listed.status) == (400, 400)


async def test_service_quotas_can_be_denied():
    """As many accounts deny it."""
    async with wired(deny=["servicequotas"]) as wire:
        headers = {
            "Authorization": authorization(service="servicequotas"),
            "X-Amz-Target": "ServiceQuotasV20190624.ListServiceQuotas",
        }
        heard = await wire.post({"ServiceCode": "bedrock"}, "/", headers=headers)

    assert (heard.status, heard.json["__type"]) == (403, "AccessDeniedException")


def test_a_model_tells_its_life_cycle(bench):
    """Active or legacy, under its id or its ARN."""
    client = bench.client("bedrock")
    active = client.get_foundation_model(modelIdentifier=CORE)["modelDetails"]
    legacy = client.get_foundation_model(modelIdentifier=SDXL)["modelDetails"]

    assert active["modelLifecycle"]["status"] == "ACTIVE"
    assert active["outputModalities"] == ["IMAGE"]
    assert legacy["modelLifecycle"]["status"] == "LEGACY"
    arn = active["modelArn"]
    assert client.get_foundation_model(modelIdentifier=arn)["modelDetails"]["modelId"] == CORE


def test_a_region_lists_the_models_it_has(bench):
    """Core is in us-west-2 only."""

    def listed(**settings):
        summaries = bench.client("bedrock", **settings).list_foundation_models()["modelSummaries"]
        return {summary["modelId"] for summary in summaries}

    assert CORE in listed()
    assert CORE not in listed(region_name="us-east-1")
    with pytest.raises(ClientError, match="not found"):
        bench.client("bedrock", region_name="us-east-1").get_foundation_model(modelIdentifier=CORE)


def test_availability_tells_access_and_region(bench):
    """What `doctor` asks for before a run."""
    here = bench.client("bedrock").get_foundation_model_availability(modelId=CORE)
    there = bench.client("bedrock", region_name="eu-west-1")

    assert here["authorizationStatus"] == "AUTHORIZED"
    assert here["regionAvailability"] == "AVAILABLE"
    answer = there.get_foundation_model_availability(modelId=CORE)
    assert answer["regionAvailability"] == "NOT_AVAILABLE"


async def test_a_denied_model_is_not_available():
    """Agreement, authorization and entitlement say so."""
    async with wired(deny=[CORE]) as wire:
        path = f"/foundation-model-availability/{CORE}"
        heard = await wire.post(b"", path, method="GET")

    assert heard.json["authorizationStatus"] == "NOT_AUTHORIZED"
    assert heard.json["agreementAvailability"] == {"status": "NOT_AVAILABLE"}


def test_a_profile_tells_its_models(bench):
    """One that calls can name; the id of a model is none."""
    client = bench.client("bedrock")
    arn = f"arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.{CORE}"
    told = client.get_inference_profile(inferenceProfileIdentifier=arn)

    assert [each["modelArn"].rpartition("/")[2] for each in told["models"]] == [CORE]
    assert (told["status"], told["inferenceProfileId"]) == ("ACTIVE", f"us.{CORE}")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_inference_profile(inferenceProfileIdentifier=CORE)


async def test_the_other_services_have_the_same_clock():
    """Whoever compares clocks may ask any of them."""
    async with wired(clock_skew="3600", ignore_dates=True) as wire:
        heard = await wire.post(b"", f"/foundation-models/{CORE}", method="GET")

    ahead = parsedate_to_datetime(heard.headers["date"]) - datetime.now(UTC)
    assert 3500 < ahead.total_seconds() < 3700


def test_the_control_plane_knows_no_other_model(bench):
    """The same sentence as for calls."""
    with pytest.raises(ClientError, match="identifier is invalid"):
        bench.client("bedrock").get_foundation_model(modelIdentifier="amazon.no-such-model")
    assert boto3.session.Session().region_name is None
