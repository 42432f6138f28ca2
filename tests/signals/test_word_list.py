"""Lists of words: what counts as an entry's occurrence, and what is no list."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.signals.word_list import WordList, read_list
from tamis.schemas.errors import InputError
from tests.support.plain_captions import normal

WORDS = st.lists(st.sampled_from(["a", "b", "A", "cc", "c-c", "\u00e9", "!"]), max_size=12).map(
    " ".join
)


def test_entries_are_whole_words_whatever_their_case_and_marks() -> None:
    words = WordList(["horn", "Red Shoes"])
    captions = ["Scunthorpe, a HORN!", "red  shoes, Red-shoes; red. shoes", None, "shoes red"]
    assert words.occurrences(captions).tolist() == [1, 2, 0, 0]


@given(st.lists(WORDS, max_size=6), st.lists(WORDS, max_size=6))
def test_occurrences_are_what_a_search_at_every_word_finds(
    captions: list[str], entries: list[str]
) -> None:
    wanted = {tuple(normal(entry)) for entry in entries} - {()}
    expected = []
    for caption in captions:
        words = normal(caption)
        spans = [tuple(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)]
        expected.append(sum(span in wanted for span in spans))
    assert WordList(entries).occurrences(captions).tolist() == expected


def test_a_file_has_an_entry_a_line() -> None:
    words = read_list("\ufeffone\r\n\n two words \n#three".encode(), "mine")
    assert words.occurrences(["One two words three"]).tolist() == [3]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "list mine has no entry: write one word"),
        (b" \n!?\n", "list mine has no entry"),
        (b"caf\xe9", "list mine is no text in UTF-8 (byte 3): write one entry a line"),
    ],
)
def test_what_is_no_list_is_refused_by_name(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        read_list(data, "mine")
