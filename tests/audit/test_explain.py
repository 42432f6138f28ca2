"""What names a sample."""

from tamis.pipeline.audit.story.story import is_uid


def test_a_uid_is_32_hex_digits() -> None:
    assert is_uid("0123456789abcdef0123456789ABCDEF")
    assert not is_uid("0123456789abcdef0123456789ABCDEG")
    assert not is_uid("0123456789abcdef")
