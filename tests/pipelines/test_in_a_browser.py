"""The committed pages in a real browser: no complaint, nothing asked of the net, no page wider than a screen, no dead
link."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from browser import Browser, browser, program

from pipelines import pages
from pipelines.scorecard import rule
from pipelines.scorecard.declared import CLAIMS
from pipelines.scorecard.page import slug

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "reports/cpu"
FILES = ["index.html", *(f"pages/{name}.html" for name in pages.TITLES)]
WIDTHS = (390, 1280)

pytestmark = pytest.mark.skipif(program() is None, reason="no Chromium on this machine (Debian: apt install chromium)")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.mark.parametrize("file", FILES)
def test_a_page(page: Browser, file: str) -> None:
    for width in WIDTHS:
        page.open(REPORT / file, width)
        assert page.complaints() == []
        assert page.requests() == [(REPORT / file).as_uri()]
        assert page.value("document.documentElement.scrollWidth") <= width
        assert page.value("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    links = page.value("[...document.querySelectorAll('a[href]')].map(link => link.href)")
    assert len(links) >= len(pages.TITLES)
    for link in links:
        parts = urlparse(link)
        assert parts.scheme == "file", link
        path = Path(unquote(parts.path))
        assert path.exists(), link
        if parts.fragment and path == REPORT / file:
            assert page.value(f"document.getElementById({parts.fragment!r}) !== null"), link


def visible(page: Browser) -> list[str]:
    found: list[str] = page.value(
        "[...document.querySelectorAll('.claim')].filter(one => one.offsetParent !== null).map(one => one.id)"
    )
    return found


def test_claims_are_chosen_by_verdict_and_by_part(page: Browser) -> None:
    page.open(REPORT / "pages/scorecard.html", 1280)
    every = visible(page)
    assert sorted(every) == sorted(one.id for one in CLAIMS)
    seen = []
    for word in rule.VERDICTS:
        page.value(f"document.querySelector('label[for=v-{slug(word)}]').click()")
        shown = visible(page)
        assert shown == page.value(f"[...document.querySelectorAll('.v-{slug(word)}')].map(one => one.id)")
        seen += shown
    assert sorted(seen) == sorted(every)
    page.value("document.querySelector('label[for=v-all]').click()")
    page.value("document.querySelector('label[for=s-the-method]').click()")
    assert sorted(visible(page)) == sorted(one.id for one in CLAIMS if one.section == "The method")
    page.value("document.querySelector('label[for=v-holds]').click()")
    assert set(visible(page)) == {one.id for one in CLAIMS if one.section == "The method"} & set(
        page.value("[...document.querySelectorAll('.v-holds')].map(one => one.id)")
    )


def test_the_scorecard_prints_every_claim_whatever_is_chosen(page: Browser) -> None:
    page.open(REPORT / "pages/scorecard.html", 1280)
    page.value("document.querySelector('label[for=v-holds]').click()")
    page.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert sorted(visible(page)) == sorted(one.id for one in CLAIMS)
        assert page.value("getComputedStyle(document.querySelector('nav')).display") == "none"
    finally:
        page.call("Emulation.setEmulatedMedia", media="")
    assert page.pdf().startswith(b"%PDF")
