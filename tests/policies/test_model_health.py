import pytest
from fakes import CORE, ERRORS, ULTRA, FakeClock, make_task

from batchgen.errors import Misconfigured, ModelDenied, NoRoute, Throttled, Unavailable
from batchgen.policies.model_health import DENIALS, DENIALS_IN_A_ROW, TRY_AGAIN, ModelHealth
from batchgen.policies.stop import Stop, StopCause

PATIENCE = 900.0


def denial(message="You don't have access.", code="AccessDeniedException"):
    return ModelDenied(message, code=code, advice="Ask for it.")


class Models:
    """Models whose calls are told of."""

    def __init__(self, *names):
        self.clock, self.stop, self.told = FakeClock(), Stop(), []
        self.state = ModelHealth(
            names or (CORE,), self.stop, self.told.append, patience=PATIENCE, clock=self.clock
        )

    def deny(self, count, model_id=CORE, **changes):
        for _ in range(count):
            self.state.denied(model_id, denial(**changes))


class TestDenials:
    def test_three_equal_denials_end_a_model(self):
        """A wrong model id must not fail ten thousand tasks one by one."""
        assert DENIALS == 3
        models = Models()
        models.deny(2)
        assert not models.state.refuses(make_task())
        models.deny(1)
        assert models.state.refuses(make_task())
        assert models.state.lost(CORE) == "denied"
        assert models.stop.stopping.cause is StopCause.DENIED
        assert models.stop.stopping.text == (
            f"{CORE} cannot be used: You don't have access. Ask for it."
        )

    @pytest.mark.parametrize("end", ["", "."])
    def test_a_wrong_configuration_ends_a_model_at_once(self, end):
        """No task can change it; a model that worked is given the benefit of the doubt."""
        text = f"The port speaks no TLS{end}"
        wrong = Misconfigured(text, code="SSLError", advice="Correct it.")
        models = Models()
        models.state.denied(CORE, wrong)
        assert models.stop.stopping.cause is StopCause.DENIED
        assert models.stop.stopping.text == (
            f"{CORE} cannot be used: The port speaks no TLS. Correct it."
        )
        models = Models()
        models.state.worked(CORE)
        models.state.denied(CORE, wrong)
        assert models.stop.stopping is None

    def test_other_models_go_on(self):
        """Only the denied model's tasks stay open; the run stops when none is left."""
        models = Models(CORE, ULTRA)
        models.deny(3)
        assert models.state.refuses(make_task(CORE))
        assert not models.state.refuses(make_task(ULTRA))
        assert models.stop.stopping is None
        (told,) = models.told
        assert told == (
            f"{CORE} cannot be used: You don't have access. Ask for it. "
            "Its other tasks stay open, or go to their fallback models."
        )
        models.deny(3, ULTRA)
        assert models.stop.stopping.cause is StopCause.DENIED

    def test_a_task_with_another_model_is_not_refused(self):
        """It stays open only when all models that may make it are denied."""
        models = Models(CORE, ULTRA, "third")
        task = make_task(CORE, fallback=(ULTRA,))
        models.deny(3)
        assert not models.state.refuses(task)
        models.deny(3, ULTRA)
        assert models.state.refuses(task)

    def test_it_is_said_once(self):
        """Calls in flight that are denied after the third say nothing new."""
        models = Models(CORE, ULTRA)
        models.deny(6)
        assert len(models.told) == 1

    def test_a_success_begins_the_counting_anew(self):
        """Denials of a model that works in between are their tasks' own."""
        assert DENIALS_IN_A_ROW == 20
        models = Models()
        for _ in range(4):
            models.state.worked(CORE)
            models.deny(19)
        assert models.stop.stopping is None
        models.deny(1)
        assert models.stop.stopping.cause is StopCause.DENIED

    def test_the_success_of_another_model_proves_nothing(self):
        """Each model is judged by itself."""
        models = Models(CORE, ULTRA)
        for _ in range(3):
            models.state.worked(ULTRA)
            models.deny(1)
        assert models.state.refuses(make_task(CORE))

    def test_denials_must_be_equal(self):
        """Different words or codes are counted apart."""
        models = Models()
        for _ in range(2):
            models.deny(1)
            models.deny(1, message="Not found.")
            models.deny(1, code="ResourceNotFoundException")
        assert models.stop.stopping is None
        models.deny(1, message="Not found.")
        assert models.stop.stopping.cause is StopCause.DENIED

    def test_without_a_route_a_model_is_denied_at_once(self):
        """Nothing was sent, and nothing would be: there is nothing to count."""
        models = Models(CORE, ULTRA)
        models.state.denied(CORE, NoRoute("No route is left.", code="NoRoute"))
        assert models.state.refuses(make_task())
        assert len(models.told) == 1


class TestRefusals:
    def test_a_model_that_refuses_for_too_long_is_lost(self):
        """Refusals for as long as the patience lasts, and nothing else between them."""
        models = Models()
        assert not models.state.refused(CORE, ERRORS[Throttled])
        models.clock.advance(PATIENCE - 1)
        assert not models.state.refused(CORE, ERRORS[Throttled])
        assert models.state.lost(CORE) is None
        models.clock.advance(1)
        assert models.state.refused(CORE, ERRORS[Throttled])
        assert models.state.lost(CORE) == "throttled"
        (told,) = models.told
        assert told == (
            f"{CORE} has refused every call for 15 min (Code): its tasks go to their fallback "
            "models; it is asked again every 10 min."
        )
        assert models.stop.stopping is None

    def test_the_reason_is_that_of_the_refusal(self):
        models = Models()
        models.state.refused(CORE, ERRORS[Unavailable])
        models.clock.advance(PATIENCE)
        models.state.refused(CORE, ERRORS[Unavailable])
        assert models.state.lost(CORE) == "unavailable"

    def test_a_success_in_between_keeps_it(self):
        """The patience begins anew with each answer."""
        models = Models()
        for _ in range(5):
            assert not models.state.refused(CORE, ERRORS[Throttled])
            models.clock.advance(PATIENCE - 1)
            models.state.worked(CORE)
        assert models.state.lost(CORE) is None

    def test_one_task_asks_again_after_a_while(self):
        """A model that is back gets its tasks back; until then one task in ten minutes asks."""
        models = Models()
        models.state.refused(CORE, ERRORS[Throttled])
        models.clock.advance(PATIENCE)
        models.state.refused(CORE, ERRORS[Throttled])
        models.clock.advance(TRY_AGAIN)
        assert models.state.lost(CORE) is None
        assert models.state.lost(CORE) == "throttled"
        assert models.state.refused(CORE, ERRORS[Throttled])  # at its first refusal
        models.clock.advance(TRY_AGAIN)
        assert models.state.lost(CORE) is None
        models.state.worked(CORE)
        assert models.state.lost(CORE) is None
        assert models.told[-1] == f"{CORE} is back: its tasks go to it again."

    def test_the_reason_outlives_the_loss(self):
        """A model that is back before a task that was called back for it asks why."""
        models = Models()
        models.state.refused(CORE, ERRORS[Throttled])
        models.clock.advance(PATIENCE)
        models.state.refused(CORE, ERRORS[Throttled])
        models.state.worked(CORE)
        assert models.state.reason(CORE) == "throttled"
