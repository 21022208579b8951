import dataclasses

import pytest
from fakes import make_attempt, make_generation, make_task


def test_an_attempt_is_a_task_and_a_number():
    """Equal tries at one task are equal; the number counts."""
    task = make_task()
    assert make_attempt(task, 2) == make_attempt(task, 2)
    assert make_attempt(task, 1) != make_attempt(task, 2)


@pytest.mark.parametrize("value", [make_attempt(), make_generation()])
def test_what_travels_is_frozen(value):
    """Neither can be changed on its way through the policies."""
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)
