import asyncio
import base64
import json
import os
import threading
from contextlib import nullcontext

import pytest
from fakes import (
    CORE,
    ERRORS,
    FakeAnswer,
    FakeService,
    Step,
    make_attempt,
    make_labelling,
    make_task,
    picture,
    reply,
)

from batchgen.errors import (
    AttemptError,
    Filtered,
    NotStarted,
    ServiceFault,
    StorageError,
    Throttled,
    UnusableReply,
)
from batchgen.job import InputImages
from batchgen.models import MODELS
from batchgen.output import store as store_module
from batchgen.output.store import Store
from batchgen.policies import generate as generate_module
from batchgen.policies.generate import generate_with

SDXL = "stability.stable-diffusion-xl-v1"


class Desk:
    """Attempts against a service that follows a script, into a folder of their own."""

    def __init__(self, folder):
        self.folder = folder

    async def __call__(self, *script: Step, attempt=None):
        self.service = FakeService(script)
        store = Store(self.folder, self._make_room)
        return await generate_with(self.service, store, InputImages(self.folder), make_labelling())(
            attempt or make_attempt()
        )

    def files(self):
        """Every file of the output, with its bytes."""
        return {
            each.relative_to(self.folder).as_posix(): each.read_bytes()
            for each in self.folder.rglob("*")
            if not each.is_dir()
        }

    async def _make_room(self, path):
        pytest.fail(f"{path} was in the way")


@pytest.fixture
def generate(tmp_path):
    return Desk(tmp_path)


class TestGood:
    @pytest.mark.parametrize(("kind", "name"), [("png", "png"), ("jpeg", "jpg"), ("webp", "webp")])
    async def test_an_image_is_stored_as_it_came(self, generate, kind, name):
        """The reply's bytes lie under the task's name, and the generation says what they are."""
        task, data = make_task(), picture(kind, size=(40, 30))
        made = await generate(reply(data, seeds=[99]), attempt=make_attempt(task))
        (image,) = made.images
        assert generate.files()[image.path] == data
        assert image.path == f"{task.file_stem}.{name}"
        assert (image.format, image.width, image.height) == (kind, 40, 30)
        assert (image.seed, image.finish_reason, image.bytes) == (99, None, len(data))
        assert made.finish_reasons == (None,)
        assert (made.request_id, made.latency_ms) == ("r-1", 12)

    async def test_a_reply_changes_threads_once(self, generate, monkeypatch):
        """Parsed, checked, hashed, written, synced and named in one go: each change costs CPU."""
        loop, jobs = asyncio.get_running_loop(), []
        run = loop.run_in_executor
        monkeypatch.setattr(loop, "run_in_executor", lambda *job: (jobs.append(job), run(*job))[1])
        await generate(reply(picture()))
        assert len(jobs) == 1

    async def test_who_computes_leaves_a_core_to_the_loop(self, generate, monkeypatch):
        """As many threads at once as there are cores beside its own; none while it syncs."""
        cores, taken = threading.BoundedSemaphore(1), {}

        def noting(step, work):
            def noted(*arguments):
                is_free = cores.acquire(blocking=False)
                if is_free:
                    cores.release()
                taken[step] = not is_free
                return work(*arguments)

            return noted

        monkeypatch.setattr(generate_module, "COMPUTING", cores)
        monkeypatch.setattr(store_module, "COMPUTING", cores)
        inspect_image = noting("check", generate_module.inspect_image)
        monkeypatch.setattr(generate_module, "inspect_image", inspect_image)
        monkeypatch.setattr(os, "write", noting("write", os.write))
        monkeypatch.setattr(os, "fsync", noting("sync", os.fsync))
        await generate(reply(picture()))
        assert taken == {"check": True, "write": True, "sync": False}
        assert cores.acquire(blocking=False)

    async def test_the_request_is_the_tasks(self, generate):
        """Exactly the task's body goes to the task's model, once."""
        task = make_task()
        await generate(attempt=make_attempt(task))
        (call,) = generate.service.calls
        assert (call.model_id, call.request) == (CORE, dict(task.request))

    async def test_the_body_is_ascii(self, generate):
        """Whatever the prompt is made of, the bytes on the wire are plain."""
        task = make_task(request={"prompt": "é\u2028😀", "seed": 1})
        sent = []
        invoke = FakeService.invoke

        class Listening(FakeService):
            async def invoke(self, model_id, body):
                sent.append(body)
                return await invoke(self, model_id, body)

        store = Store(generate.folder, None)
        images = InputImages(generate.folder)
        await generate_with(Listening(), store, images, make_labelling())(make_attempt(task))
        assert sent[0].isascii()
        assert json.loads(sent[0]) == {"prompt": "é\u2028😀", "seed": 1}

    async def test_a_format_that_nobody_asked_for_is_kept(self, generate):
        """The bytes decide the name, for they were paid for."""
        task = make_task()
        made = await generate(reply(picture("jpeg")), attempt=make_attempt(task))
        assert made.images[0].path == f"{task.file_stem}.jpg"

    async def test_images_that_nobody_asked_for_are_kept_beside_it(self, generate):
        """Two images where one was ordered: both were made, the second gets a number."""
        task = make_task()
        body = reply(picture(), picture(shade=1), seeds=[1, 2], reasons=[None, None])
        made = await generate(body, attempt=make_attempt(task))
        assert [(image.path, image.seed) for image in made.images] == [
            (f"{task.file_stem}.png", 1),
            (f"{task.file_stem}~2.png", 2),
        ]
        assert made.finish_reasons == (None, None)

    async def test_a_partly_filtered_reply_keeps_what_is_good(self, generate):
        """The image beside a filter reason is not kept, the other one is."""
        task = make_task()
        body = reply(picture(), picture(shade=1), reasons=["Filter reason: output image", None])
        made = await generate(body, attempt=make_attempt(task))
        assert [image.path for image in made.images] == [f"{task.file_stem}.png"]
        assert generate.files()[f"{task.file_stem}.png"] == picture(shade=1)
        assert made.finish_reasons == ("Filter reason: output image", None)

    async def test_the_temporary_name_says_whose_image_it_is(self, generate):
        """Until the record is durable the task's id stands beside it."""
        task = make_task()
        await generate(attempt=make_attempt(task))
        folder, _, name = task.file_stem.rpartition("/")
        assert f"{folder}/.{name}.png.{task.id}.part" in generate.files()


def torn(kind):
    """A reply with half a picture."""
    return reply(picture(kind)[:-9])


UNUSABLE = {
    "nothing": b"",
    "HTML": b"<html><body>Please log in</body></html>",
    "cut JSON": reply(picture())[:-20],
    "no object": b"[]",
    "an empty object": b"{}",
    "no image": reply(reasons=[None]),
    "an empty image": json.dumps({"finish_reasons": [None], "images": [""]}).encode(),
    "broken base64": json.dumps({"finish_reasons": [None], "images": ["@@@"]}).encode(),
    "a number for an image": json.dumps({"finish_reasons": [None], "images": [7]}).encode(),
    "a text for the images": json.dumps({"finish_reasons": [None], "images": "x"}).encode(),
    "no picture": reply(b"hello"),
    "half a PNG": torn("png"),
    "half a JPEG": torn("jpeg"),
    "half a WebP": torn("webp"),
    "one good and one torn": reply(picture(), picture()[:-9], reasons=[None, None]),
    "another format": reply(b"GIF89a\x01\0\x01\0\0\0\0;"),
    "depth": b"[" * 100_000,
    "zeros": b"\0" * 1000,
}


class TestUnusable:
    @pytest.mark.parametrize("body", UNUSABLE.values(), ids=UNUSABLE)
    async def test_what_cannot_be_kept_is_set_aside(self, generate, body):
        """A reply without a whole picture may have been billed: its bytes lie in `unusable/`."""
        task = make_task()
        with pytest.raises(UnusableReply) as caught:
            await generate(body, attempt=make_attempt(task, 2))
        assert caught.value.message
        assert (caught.value.body, caught.value.request_id) == (body, "r-1")
        assert generate.files() == {f"unusable/{task.id}-2.json": body}

    async def test_what_was_too_large_is_set_aside_too(self, generate):
        """A reply that was not even read to its end was paid for as well."""
        task = make_task()
        error = UnusableReply("larger than 25 MB", body=b"{" * 100, request_id="r-9")
        stored = []
        error.release = lambda: stored.append(generate.files())
        with pytest.raises(UnusableReply) as caught:
            await generate(error, attempt=make_attempt(task))
        assert caught.value is error
        assert stored == [generate.files()]
        assert generate.files() == {f"unusable/{task.id}-1.json": b"{" * 100}

    async def test_a_disk_that_refuses_it_changes_nothing(self, generate):
        """What happened to the task is more important than the bytes."""
        (generate.folder / "unusable").touch()
        with pytest.raises(UnusableReply):
            await generate(b"")


def artifacts(*reasons, image=True):
    """A response body of the SDXL family."""
    encoded = base64.b64encode(picture()).decode() if image else None
    entries = [{"seed": 1, "base64": encoded, "finishReason": reason} for reason in reasons]
    return json.dumps({"result": "success", "artifacts": entries}).encode()


class TestMemory:
    @pytest.mark.parametrize(
        ("body", "ends"),
        [(reply(picture()), None), (b"{", UnusableReply), (reply(picture()), StorageError)],
        ids=["stored", "unusable", "not stored"],
    )
    async def test_an_answer_is_let_go_when_it_is_stored_or_failed(self, generate, body, ends):
        """Once, and only then: other answers wait for the memory it takes."""
        answer, seen = FakeAnswer(body=body), []

        def look(_):
            seen.append(list(answer.releases))
            if ends is StorageError:
                (generate.folder / "images").symlink_to("/dev/null")
            return answer

        with pytest.raises(ends) if ends else nullcontext():
            await generate(look)
        assert seen == [[]]
        assert answer.releases == [True]

    async def test_one_whose_attempt_is_cancelled_too(self, generate, monkeypatch):
        """Whoever cancels it, in the middle of storing."""
        answer, storing = FakeAnswer(body=reply(picture())), asyncio.Event()

        async def hang(*_):
            storing.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(Store, "finish", hang)
        attempt = asyncio.create_task(generate(answer))
        await storing.wait()
        assert answer.releases == []
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        assert answer.releases == [True]


PROMPT, OUTPUT = "Filter reason: prompt", "Filter reason: output image"


class TestRefused:
    @pytest.mark.parametrize(
        ("model", "body", "words", "came"),
        [
            (CORE, reply(reasons=[PROMPT]), PROMPT, False),
            (CORE, json.dumps({"finish_reasons": [PROMPT]}).encode(), PROMPT, False),
            (CORE, reply(reasons=["Filter reason: input image"]), "input image", False),
            (CORE, reply(picture(), reasons=[OUTPUT]), OUTPUT, True),
            (CORE, reply(picture(), picture(), reasons=[OUTPUT, PROMPT]), OUTPUT, True),
            (SDXL, artifacts("CONTENT_FILTERED"), "CONTENT_FILTERED", True),
            (SDXL, artifacts("CONTENT_FILTERED", image=False), "CONTENT_FILTERED", False),
        ],
    )
    async def test_moderation_is_an_outcome_of_its_own(
        self, generate, model, body, words, came
    ):  # one column each
        """Filtered, in the service's words; nothing is stored as if it were a picture."""
        with pytest.raises(Filtered, match=words) as caught:
            await generate(body, attempt=make_attempt(make_task(model)))
        assert caught.value.code == "Filtered"
        assert caught.value.image_came is came
        assert caught.value.request_id == "r-1"
        assert words in str(caught.value.finish_reasons)
        assert generate.files() == {}

    @pytest.mark.parametrize(
        ("model", "body", "words"),
        [
            (CORE, reply(reasons=["Inference error"]), "^Inference error$"),
            (CORE, reply(picture(), reasons=["Inference error"]), "^Inference error$"),
            (SDXL, artifacts("ERROR"), "^ERROR$"),
        ],
    )
    async def test_a_generation_that_failed_is_the_services_fault(
        self, generate, model, body, words
    ):
        """It may have been billed, and is made again a few times."""
        with pytest.raises(ServiceFault, match=words) as caught:
            await generate(body, attempt=make_attempt(make_task(model)))
        assert (caught.value.code, caught.value.request_id) == ("InferenceError", "r-1")
        assert generate.files() == {}

    async def test_all_reasons_are_told(self, generate):
        """Several artifacts, several reasons: one sentence with all of them."""
        with pytest.raises(Filtered) as caught:
            await generate(reply(reasons=[PROMPT, None, OUTPUT]))
        assert caught.value.message == f"{PROMPT}; {OUTPUT}"
        assert caught.value.finish_reasons == (PROMPT, None, OUTPUT)


class TestOthers:
    @pytest.mark.parametrize(
        "kind",
        [kind for kind in ERRORS if kind is not UnusableReply],
        ids=lambda kind: kind.__name__,
    )
    async def test_errors_of_the_call_pass(self, generate, kind):
        """What the service or the network said is not touched, and nothing is stored."""
        with pytest.raises(AttemptError) as caught:
            await generate(ERRORS[kind])
        assert caught.value is ERRORS[kind]
        assert generate.files() == {}

    async def test_one_attempt_is_one_call(self, generate):
        """No retry in here, whatever comes."""
        with pytest.raises(Throttled):
            await generate(ERRORS[Throttled])
        assert len(generate.service.calls) == 1

    async def test_a_stop_passes(self, generate):
        """A service that stopped is no outcome."""
        with pytest.raises(NotStarted):
            await generate(NotStarted("stop"))

    async def test_a_disk_that_refuses_the_image_is_a_storage_error(self, generate):
        """The image came and could not be stored: that ends the run, not the task."""
        (generate.folder / "images").touch()
        with pytest.raises(StorageError):
            await generate()

    async def test_a_reply_without_a_request_id_will_do(self, generate):
        """The service may not say."""
        made = await generate(FakeAnswer(body=reply(picture()), request_id=None, latency_ms=0))
        assert (made.request_id, made.latency_ms) == (None, 0)

    def test_the_models_of_this_suite_are_real(self):
        """Both families are under test."""
        assert {MODELS[model].family for model in (CORE, SDXL)} == {"stable-image", "sdxl"}
