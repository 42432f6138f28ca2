"""Captions in one form: what reads the same is the same, and what differs stays apart."""

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms.near_captions import folding

MARKED = st.text(
    st.sampled_from("ab&<>;lt/ gamp#x26-\u2019\u00b2\u064b\uff1c\uff06\u0645"), max_size=30
)


@given(st.one_of(st.text(max_size=30), MARKED))
def test_normalising_twice_is_normalising_once(caption: str) -> None:
    once = folding.normalise([caption])
    assert folding.normalise(once) == once
    assert once[0] == once[0].strip()
    assert "  " not in once[0]


def test_normalising_folds_case_width_and_space() -> None:
    given_captions = [
        "  A \t Red\u00a0\u3000Fox\n",
        "\uff26\uff55\uff4c\uff4c \ufb01",
        "STRASSE",
        "straße",
        "",
        None,
        " \n",
    ]
    assert folding.normalise(given_captions) == [
        "a red fox", "full fi", "strasse", "strasse", "", "", "",
    ]  # fmt: skip


def test_normalising_leaves_out_what_no_reader_sees() -> None:
    """Two captions that look the same are the same; one in which there is nothing to see is empty."""
    pairs = [
        ("\u200bred\u200d fox\ufeff", "red fox"),
        ("\u200f\u05e9\u05dc\u05d5\u05dd\u200e \u202b1\u202c", "\u05e9\u05dc\u05d5\u05dd 1"),
        ("so\u00adft", "soft"),
        ("\u2764\ufe0f", "\u2764"),
        ("e\u200d\u0301", "\u00e9"),
        ("\u3164 \u2060\u200b", ""),
    ]
    assert folding.normalise([raw for raw, _ in pairs]) == [seen for _, seen in pairs]
    flags = ["".join(chr(c) for c in (0x1F3F4, *tags, 0xE007F)) for tags in ([0xE0073], [0xE0077])]
    assert len(set(folding.normalise(flags))) == 2


@pytest.mark.parametrize(
    ("fold", "raw", "read"),
    [
        ("quotes", "Alice\u2019s \u201cred\u201d fox \u2013 a \u2014 b \u2212 1", "alice's \"red\" fox - a - b - 1"),
        ("markup", "Salt &amp; pepper &#39;n&#x27; <b class='x'>rice</b><br/>", "salt & pepper 'n' rice"),
        ("markup", "a &amp;lt;b&amp;gt; c, 1 < 2 > 0, <3", "a c, 1 < 2 > 0, <3"),
        ("vowels", "\u0645\u064f\u062d\u064e\u0645\u0651\u064e\u062f", "\u0645\u062d\u0645\u062f"),
        ("vowels", "\u0643\u0640\u062a\u0627\u0628", "\u0643\u062a\u0627\u0628"),
        ("vowels", "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd", "\u05e9\u05dc\u05d5\u05dd"),
    ],
)  # fmt: skip
def test_each_fold_reads_as_one_and_can_be_left_out(
    fold: folding.Fold, raw: str, read: str
) -> None:
    others = [one for one in folding.FOLDS if one != fold]
    assert folding.normalise([raw]) == folding.normalise([raw], [fold]) == [read]
    assert folding.normalise([raw], others) != [read]


def test_an_entity_of_more_digits_than_python_reads_is_no_character() -> None:
    huge = f"&#{'9' * 5000};"
    assert folding.normalise([f"a {huge} b", f"a &amp;{huge[1:]} b"]) == ["a \ufffd b"] * 2
    assert html.unescape(folding.without_huge_references(f"&#65;{huge}&lt;")) == "A\ufffd<"


@pytest.mark.parametrize(("before", "after"), [("amp;", ""), ("#38;", ""), ("<a", ">")])
def test_entities_in_entities_and_tags_in_tags_are_read_to_a_depth(before: str, after: str) -> None:
    """A caption of nothing else would cost the square of its length."""
    made = [f"x &{before * depth}{after * depth}" for depth in (9, 2000)]
    deep, deeper = folding.normalise(made)
    assert deep == "x &"
    assert len(deeper) > 0.9 * len(made[1])


def test_raised_digits_stay_what_they_are() -> None:
    made = folding.normalise(["10\u00b2 KM", "102 km", "H\u2082O", "h2o", "x\u00b9\u2070"])
    assert made == ["10\u00b2 km", "102 km", "h\u2082o", "h2o", "x\u00b9\u2070"]


def test_a_caption_without_anything_to_see_is_told() -> None:
    seen = ["a", "\u732b", " . ", "\u2764\ufe0f"]
    unseen = ["", " \n", "\u200b", "\ufeff\u200b \u2060", "\u3164"]
    assert [folding.is_visible(text) for text in seen + unseen] == [True] * 4 + [False] * 5
