"""What the files of a run's images say of themselves, as its job orders."""

import hashlib
import io
import json
from dataclasses import replace

import pytest
from certificates import write_pair
from fakes import (
    CORE,
    NOON,
    SENT,
    FakeAnswer,
    FakeService,
    make_attempt,
    make_labelling,
    make_task,
    picture,
    reply,
)
from hypothesis import given
from hypothesis import strategies as st

from batchgen.attempt import Substitute
from batchgen.errors import JobError
from batchgen.job import InputImages, Metadata
from batchgen.models import FAMILIES, MODELS, Prompts
from batchgen.output import embedded, hash_pixels, inspect_image, read_credentials, read_embedded
from batchgen.output.store import Store
from batchgen.policies import labelling as module
from batchgen.policies.generate import generate_with
from batchgen.task import task_id

KINDS = ("png", "jpeg", "webp")


class Desk:
    """Attempts whose images are labelled, into a folder of their own."""

    def __init__(self, folder):
        self.folder = folder
        self.told = []

    async def __call__(self, data, attempt=None, **metadata):
        labelling = make_labelling(self.told, **metadata)
        images, store = InputImages(self.folder), Store(self.folder, None)
        generate = generate_with(FakeService([reply(data)]), store, images, labelling)
        attempt = attempt or make_attempt()
        attempt.state.sent = SENT
        (self.image,) = (await generate(attempt)).images
        return self.folder / self.image.path


@pytest.fixture
def generate(tmp_path):
    return Desk(tmp_path)


class TestHashes:
    @pytest.mark.parametrize("level", ["ai-label", "full"])
    @pytest.mark.parametrize("kind", KINDS)
    async def test_a_record_has_the_hashes_of_what_came_its_pixels_and_the_file(
        self, generate, kind, level
    ):
        """Three hashes, each of what it is said to be of."""
        data = picture(kind, size=(40, 30))
        path = await generate(data, level=level)
        stored = path.read_bytes()
        assert generate.image.received_sha256 == hashlib.sha256(data).hexdigest()
        assert generate.image.pixels_sha256 == hash_pixels(data) == hash_pixels(stored)
        assert generate.image.sha256 == hashlib.sha256(stored).hexdigest()
        assert generate.image.bytes == len(stored) > len(data)
        assert embedded(path).received_sha256 == generate.image.received_sha256

    async def test_without_metadata_the_file_is_what_came(self, generate):
        """One hash says it all, and no time goes into another."""
        path = await generate(picture())
        assert path.read_bytes() == picture()
        fields = generate.image.model_dump(mode="json")
        assert not fields.keys() & {"received_sha256", "pixels_sha256"}


class TestTold:
    async def test_full_says_what_the_manifest_says(self, generate):
        """Prompts, model, seed, parameters, ids, and the exact body, which the id follows from."""
        family = FAMILIES[MODELS[CORE].family]
        prompts = Prompts(prompt="a mug\x1b ]]>", negative_prompt="text")
        request = family.build(MODELS[CORE], prompts, {"aspect_ratio": "4:5"}, 7)
        task = make_task(request=request, seed=7, id=task_id(CORE, request))
        told = embedded(await generate(picture(), make_attempt(task, 2), level="full")).provenance
        assert (told.prompt, told.negative_prompt) == ("a mug\x1b ]]>", "text")
        assert (told.model, told.seed, told.attempt) == (CORE, 7, 2)
        assert told.parameters["aspect_ratio"] == "4:5"
        assert not told.parameters.keys() & {"prompt", "negative_prompt", "seed"}
        assert task_id(told.model, told.request) == told.task_id == task.id
        assert (told.label, told.item_id, told.run_id) == (task.label, task.item_id, "run-1")
        assert (told.region, told.simulated, told.started_at) == ("us-west-2", True, NOON)
        assert (told.request_id, told.latency_ms, told.asked) == ("r-1", 12, None)

    async def test_a_substitute_is_told_as_it_was_sent(self, generate):
        """The model that made the picture, and beside it what the task asks for."""
        task = make_task()
        call = replace(make_task(), model_id="another", seed=9, request={**task.request, "seed": 9})
        attempt = replace(make_attempt(task), substitute=Substitute(call=call, reason="denied"))
        told = embedded(await generate(picture(), attempt, level="full")).provenance
        assert (told.model, told.seed, told.task_id) == ("another", 9, task.id)
        assert (told.asked.reason, told.asked.model) == ("denied", task.model_id)
        assert (told.asked.seed, told.asked.request) == (task.seed, dict(task.request))

    async def test_an_ai_label_tells_no_prompt(self, generate):
        """It is for pictures that are published."""
        task = make_task()
        path = await generate(picture(), make_attempt(task), level="ai-label")
        assert embedded(path).provenance is None
        assert task.request["prompt"].encode() not in path.read_bytes()
        assert task.id.encode() not in path.read_bytes()

    @pytest.mark.parametrize(
        ("key", "kind"), [(None, "trained"), ("image", "compositeWithTrained")]
    )
    async def test_a_picture_that_was_edited_is_said_to_be(self, generate, tmp_path, key, kind):
        """IPTC has another word for what a model made of a given picture."""
        task, data = make_task(), picture("webp")
        (tmp_path / "given.webp").write_bytes(data)
        named = {"path": "given.webp", "sha256": hashlib.sha256(data).hexdigest()}
        given = {} if key is None else {key: named}
        task = replace(task, request={**task.request, **given})
        path = await generate(picture(), make_attempt(task), level="ai-label")
        assert embedded(path).source_type.endswith(f"/{kind}AlgorithmicMedia")

    async def test_weighted_texts_are_told_by_their_sign(self):
        """SDXL takes a list: what is wanted, and what is not."""
        model = MODELS["stability.stable-diffusion-xl-v1"]
        texts = [{"text": "a", "weight": 1}, {"text": "b", "weight": 0.5}]
        texts.append({"text": "c", "weight": -1})
        none = Prompts(prompt=None, negative_prompt=None)
        request = FAMILIES[model.family].build(model, none, {"text_prompts": texts}, 7)
        task = replace(make_task(), family=model.family, request=request)
        assert module.texts_of(task) == ("a; b", "c")


class TestAsItCame:
    async def test_an_image_with_credentials_of_its_own_is_not_touched(self, generate, tmp_path):
        """Any change breaks them; it is said once."""
        certificate, key = write_pair(tmp_path)
        files = {"certificate": str(certificate), "key": str(key)}
        signed = (await generate(picture(), content_credentials=files)).read_bytes()
        for level in ("ai-label", "full"):
            path = await generate(signed, make_attempt(make_task()), level=level)
            assert path.read_bytes() == signed
            assert (generate.image.received_sha256, generate.image.pixels_sha256) == (None, None)
        assert len(generate.told) == 2
        assert "Content Credentials of its own" in generate.told[0]

    async def test_a_fault_in_the_labelling_loses_no_image(self, generate, monkeypatch):
        """It was paid for: stored as it came, and said once for each reason."""

        def broken(*_):
            raise RuntimeError("out of \x1b[31mluck")

        monkeypatch.setattr(module, "labelled", broken)
        path = await generate(picture(), level="full")
        assert path.read_bytes() == picture()
        (told,) = generate.told
        assert "without the metadata" in told
        assert "\x1b" not in told

    def test_each_reason_is_told_once(self):
        """A night of ten thousand images says it in one line."""
        told = []
        labelling = make_labelling(told, level="full")
        for number in range(50):
            labelling.tell("mug/1", "a")
            labelling.tell("mug/1", str(number))
        assert len(told) == module.MOST_TOLD


class TestCredentials:
    @pytest.mark.parametrize("kind", KINDS)
    async def test_the_label_is_signed_last(self, generate, tmp_path, kind):
        """The signature holds for the file as it lies there, XMP and all."""
        certificate, key = write_pair(tmp_path)
        files = {"certificate": str(certificate), "key": str(key)}
        task = make_task()
        path = await generate(
            picture(kind), make_attempt(task), level="full", content_credentials=files
        )
        found = read_credentials(path)
        assert found.is_intact
        assert (found.model, found.seed) == (task.model_id, task.seed)
        assert embedded(path).provenance.task_id == task.id
        assert generate.image.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()

    def test_a_certificate_that_cannot_sign_is_a_complaint(self, tmp_path):
        """With its key, before anything is paid for."""
        files = {"certificate": str(tmp_path / "none.pem"), "key": str(tmp_path / "none")}
        with pytest.raises(JobError, match=r"metadata\.content_credentials: .*none\.pem cannot"):
            make_labelling(content_credentials=files)

    def test_a_level_alone_is_ai_label(self):
        """Credentials without a level: the label that they sign says that a model made it."""
        assert Metadata().level == "ai-label"


@given(prompt=st.text(max_size=200), kind=st.sampled_from(KINDS))
def test_any_prompt_is_told_and_leaves_the_picture_alone(prompt, kind):
    """Whatever stands in it."""
    task = make_task()
    task = replace(task, request={**task.request, "prompt": prompt})
    image = next(iter(FAMILIES[task.family].parse(reply(picture(kind))).images))
    written = make_labelling(level="full").write(
        make_attempt(task), FakeAnswer(body=b""), image, inspect_image(image.data)
    )
    assert written.problem is None
    assert written.inspected.pixels_sha256 == hash_pixels(written.image.data)
    told = read_embedded(io.BytesIO(written.image.data)).provenance
    assert told.prompt == (prompt or None)
    assert json.loads(told.model_dump_json())["request"] == task.request
