"""Parameters of requests: what is understood, what is refused, and with which message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaogan.core.errors import UsageError
from kaogan.core.schema import Attribute, Schema
from kaogan.studio import params
from kaogan.studio.params import FaceId


@given(
    st.integers(0, 2**63 - 1),
    st.integers(0, 99),
    st.lists(st.tuples(st.integers(1, 100), st.integers(0, 99)), max_size=24),
)
def test_a_face_is_read_as_it_was_written(seed, number, steps):
    face = FaceId(seed, number, tuple(steps))
    assert FaceId.parse(str(face)) == face


def test_the_spelling_of_a_neighbour():
    assert str(FaceId(7, 3).neighbour(35, 2)) == "7.3~35.2"


@pytest.mark.parametrize(
    "name",
    ["", "7", "7.3.1", "a.b", "7.3~", "7.3~0.1", "7.3~101.1", "-1.0", f"{2**63}.0", "1.0" + "~5.1" * 25, "../7.3"],
)
def test_what_is_no_face_is_refused(name):
    with pytest.raises(UsageError):
        FaceId.parse(name)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"seed": "pink"}, "the seed must be a whole number from 0 to .*, not 'pink'"),
        ({"seed": "-1"}, "the seed must be from 0"),
        ({"seed": "1.5"}, "the seed must be a whole number"),
        ({"seed": "9" * 39}, "the seed must be from 0"),
        ({"seed": "9" * 5000}, "the seed must be a whole number"),
    ],
)
def test_seeds_that_are_none(query, message):
    with pytest.raises(UsageError, match=message) as error:
        params.seed(query)
    assert len(str(error.value)) < 200


def test_counts_are_bounded_by_number_and_by_pixels():
    assert params.count({"count": "100"}, 64) == 100
    with pytest.raises(UsageError, match="from 1 to 100, not 1,000,000,000"):
        params.count({"count": "1000000000"}, 64)
    with pytest.raises(UsageError, match="at most 8 pictures of 1024 × 1024 px"):
        params.count({"count": "9"}, 1024)


@pytest.mark.parametrize("text", ["nan", "inf", "-0.1", "2.1", "wild"])
def test_truncations_that_are_none(text):
    with pytest.raises(UsageError, match=f"the truncation must be a number from 0 to 2, not '{text}'"):
        params.truncation({"truncation": text})


def test_several_values_are_a_mixture():
    query = {"a.hair": "pink", "a.eyes": "blue,red", "hair": "green", "a.year": ""}
    assert params.attributes(query, Schema()) == {"hair": "pink", "eyes": {"blue": 0.5, "red": 0.5}}
    known = Schema((Attribute("eyes", ("blue,red", "blue", "red"), (0.2, 0.4, 0.4)),))
    assert params.attributes(query, known)["eyes"] == "blue,red"


def test_a_look_packed_into_one_word():
    packed = {"from": "face=7.3~35.2&a.hair=pink&m.sefa-1=-1.5&m.sefa-2=0"}
    render_params = params.packed_render_params(packed, Schema(), "from")
    assert (str(render_params.face), render_params.attributes, render_params.moves) == (
        "7.3~35.2",
        {"hair": "pink"},
        {"sefa-1": -1.5},
    )
    with pytest.raises(UsageError):
        params.packed_render_params({"from": "&".join(f"m.{number}=1" for number in range(90))}, Schema(), "from")
    with pytest.raises(UsageError, match="is missing: click a face first"):
        params.render_params({}, Schema())
