"""Mail addresses and telephone numbers: what is one, and what only looks like one."""

import pytest

from tamis.pipeline.signals.personal_data import mail_addresses, telephone_numbers


@pytest.mark.parametrize(
    ("caption", "count"),
    [
        ("write to jane.doe+x@mail.example.org, or info@example.com.", 2),
        ("<info@example.com>", 1),
        ("INFO@EXAMPLE.COM", 1),
        ("@handle on a site, 5 @ 3.50", 0),
        ("me@localhost", 0),
        ("a@b@example.com", 1),
        ("", 0),
        (None, 0),
    ],
)
def test_mail_addresses(caption: str | None, count: int) -> None:
    assert mail_addresses([caption]).tolist() == [count]


@pytest.mark.parametrize(
    ("caption", "count"),
    [
        ("call +44 20 7946 0958", 1),
        ("call +1 (555) 012-3456 or +49-30-1234567", 2),
        ("0044 20 7946 0958", 1),
        ("(555) 012-3456", 1),
        ("tel. 555-012-3456.", 1),
        ("555.012.3456", 1),
        ("06 12 34 56 78", 1),
        ("(020) 7946 0958", 1),
        ("030/12345678", 1),
        ("in 2019-05-12 and 12-05-2019", 0),
        ("01-02-2019", 0),
        ("Screenshot_2019-05-12-09-30-12", 0),
        ("2019-05-12 093012", 0),
        ("12-05-2019 093012", 0),
        ("05.12.2019 09:30", 0),
        ("05/25/2019 10:30", 0),
        ("05.12.20.19.55", 1),
        ("no-030 12345678", 1),
        ("1,000,000,000 stars", 0),
        ("1920 x 1080 px, 300 dpi", 0),
        ("ISBN 9780306406157", 0),
        ("IMG_20190512_123456", 0),
        ("3.14159265358979", 0),
        ("192.168.100.200", 0),
        ("", 0),
        (None, 0),
    ],
)
def test_telephone_numbers(caption: str | None, count: int) -> None:
    assert telephone_numbers([caption]).tolist() == [count]


def test_a_long_caption_takes_no_quadratic_time() -> None:
    """Half a million characters that could begin an address or a number at each place, but never are one."""
    letters, numbers = "a" * 500_000 + "@", "0 " * 250_000
    assert mail_addresses([letters, "x@example.com"]).tolist() == [0, 1]
    assert telephone_numbers([numbers]).tolist() == [0]
