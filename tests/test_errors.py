import pytest

from batchgen import errors
from batchgen.errors import (
    AttemptError,
    BatchgenError,
    Complaint,
    Filtered,
    JobError,
    UnusableReply,
)

ATTEMPT_ERRORS = {
    "AnswerLost": "Ambiguous",
    "Ambiguous": "AttemptError",
    "AttemptError": "BatchgenError",
    "BatchgenFault": "AttemptError",
    "CredentialsRefused": "AttemptError",
    "Filtered": "AttemptError",
    "InputError": "BatchgenError",
    "JobError": "InputError",
    "ManifestError": "InputError",
    "Misconfigured": "ModelDenied",
    "ModelDenied": "Permanent",
    "NeverSent": "AttemptError",
    "NoRoute": "ModelDenied",
    "NotStarted": "BatchgenError",
    "OutputBusy": "BatchgenError",
    "Permanent": "AttemptError",
    "QuotaExhausted": "ModelDenied",
    "Rejected": "Permanent",
    "InputChanged": "Permanent",
    "RouteDenied": "AttemptError",
    "ServiceFault": "Ambiguous",
    "ServiceUnusable": "BatchgenError",
    "StorageError": "BatchgenError",
    "OutputUnusable": "StorageError",
    "Throttled": "AttemptError",
    "Unavailable": "AttemptError",
    "UnusableReply": "Ambiguous",
}


def every_error():
    return {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception) and value is not BatchgenError
    }


class TestTree:
    def test_it_is_the_tree_that_the_module_draws(self):
        """Every error has the parent that the drawing at the top of the module gives it."""
        parents = {name: error.__base__.__name__ for name, error in every_error().items()}
        assert parents == ATTEMPT_ERRORS

    @pytest.mark.parametrize("name", sorted(every_error()))
    def test_the_drawing_names_it(self, name):
        """No error is missing from the drawing."""
        assert f" {name}" in errors.__doc__

    @pytest.mark.parametrize("error", every_error().values())
    def test_it_says_when_it_is_raised(self, error):
        """Every error explains itself in a sentence."""
        assert error.__doc__.endswith(".")


class TestAttemptError:
    @pytest.mark.parametrize("secret", ["secret", "se@cret", "/se:cret", "secret@x"])
    def test_it_tells_no_password_of_a_proxy(self, secret):
        """An address with one stands in texts of aiohttp, which are logged and recorded."""
        error = AttemptError(f"400, url='http://me:{secret}@proxy:8080'", code="Odd")
        assert str(error) == error.message == "400, url='http://***@proxy:8080'"

    def test_it_carries_what_a_record_needs(self):
        """The text of the error is the message; code, advice and request id stand beside it."""
        error = AttemptError("no luck", code="Luck", advice="Try.", request_id="r-9")
        assert str(error) == "no luck"
        assert (error.message, error.code, error.advice, error.request_id) == (
            "no luck",
            "Luck",
            "Try.",
            "r-9",
        )

    def test_equal_failures_are_equal_texts(self):
        """Addresses of Python's objects differ from call to call, and say nothing to a person."""
        said = [
            AttemptError(f"Cannot connect to host x ssl:<SSLContext object at {at}>", code="E")
            for at in ("0x7f3a", "0x7F3B")
        ]
        assert {str(error) for error in said} == {said[0].message}
        assert said[0].message == "Cannot connect to host x ssl:<SSLContext object>"

    def test_only_message_and_code_must_be_given(self):
        """No advice and no request id unless there are some."""
        error = AttemptError("no luck", code="Luck")
        assert (error.advice, error.request_id) == ("", None)

    def test_an_unusable_reply_carries_its_body(self):
        """The bytes that came are kept with the error, for they were paid for."""
        error = UnusableReply("torn", body=b"\x89P", request_id="r-2")
        assert (error.body, error.code, error.request_id) == (b"\x89P", "UnusableReply", "r-2")

    def test_a_filter_says_whether_an_image_came(self):
        """A filter has its reasons and says if an image stood beside them; by default neither."""
        bare = Filtered("no", code="ValidationException")
        full = Filtered("no", code="F", finish_reasons=("x",), image_came=True, request_id="r-3")
        assert (bare.finish_reasons, bare.image_came, bare.request_id) == ((), False, None)
        assert (full.finish_reasons, full.image_came, full.request_id) == (("x",), True, "r-3")


class TestJobError:
    def test_every_complaint_has_its_line(self):
        """File, line, key and complaint, one line each; what is unknown is left out."""
        error = JobError(
            "jobs/a.yaml",
            (
                Complaint(path=("items", 2, "seed"), text="is -1", line=7),
                Complaint(path=(), text="is empty", line=1),
                Complaint(path=("name",), text="is missing"),
            ),
        )
        assert str(error).splitlines() == [
            "jobs/a.yaml:7: items[2].seed: is -1",
            "jobs/a.yaml:1: is empty",
            "jobs/a.yaml: name: is missing",
        ]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("name",), "name"),
        (("items", 0), "items[0]"),
        (("items", 12, "parameters", "seed"), "items[12].parameters.seed"),
        ((3, "id"), "[3].id"),
    ],
)
def test_a_path_reads_as_people_write_it(path, text):
    """Keys are joined by dots, indices stand in brackets."""
    assert errors.dotted(path) == text


class TestKeysOfAFile:
    def test_a_key_cannot_steer_a_terminal_or_forge_a_line(self):
        """What somebody wrote as a key is escaped where a complaint repeats it."""
        error = errors.JobError(
            "job.yaml", (errors.Complaint(path=("a", "\x1b[31mred\nok"), text="unknown"),)
        )

        assert str(error) == "job.yaml: a.\\x1b[31mred\\nok: unknown"

    def test_a_long_key_is_cut(self):
        """A key of a megabyte does not fill the screen."""
        assert errors.dotted(("k" * 1_000_000,)) == "k" * 100 + "…"
        assert errors.dotted(("k" * 100,)) == "k" * 100
