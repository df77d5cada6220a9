"""The files of the console: what they may not hold, and that the vendored ones are what npm had."""

import re
from hashlib import sha256

import pytest

from demijohn.web import console

PAGES = {"console": console.index_page, "docs": console.docs_page}
OUR_FILES = sorted(path for path in console.ASSETS if not path.startswith("vendor/"))
LONGEST_FILE_LINES = 400


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_nothing_inline(page):
    html = PAGES[page]("/ml").body.decode()
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html)
    assert all(re.search(r"\ssrc=", tag) for tag in re.findall(r"<script[^>]*>", html))


@pytest.mark.parametrize("prefix", ["", "/ml", "/a/b"])
@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_an_asset(page, prefix):
    html = PAGES[page](prefix).body.decode()
    named = re.findall(rf'(?:src|href)="{prefix}/console-assets/([^"]+)"', html)
    assert len(named) >= 4
    assert set(named) <= set(console.ASSETS)


@pytest.mark.parametrize("page", PAGES)
def test_a_prefix_cannot_break_out_of_its_attribute(page):
    html = PAGES[page]('/"><script>alert(1)</script>').body.decode()
    assert "<script>" not in html
    assert "{{" not in html
    assert 'content="/&quot;&gt;&lt;script&gt;' in html


@pytest.mark.parametrize("path", OUR_FILES)
def test_no_file_of_ours_makes_html_or_code_of_text(path):
    text = console.ASSETS[path].body.decode()
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setTimeout\(['\"]"
    )
    assert not re.search(forbidden, text)


@pytest.mark.parametrize("path", OUR_FILES)
def test_no_file_of_ours_names_another_host(path):
    text = console.ASSETS[path].body.decode().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://", text)


@pytest.mark.parametrize("path", OUR_FILES)
def test_a_file_stays_short(path):
    assert len(console.ASSETS[path].body.splitlines()) <= LONGEST_FILE_LINES


def test_assets_are_the_files_below_static_and_no_page():
    assert {"console.js", "console.css", "docs.js", "icon.svg"} <= set(console.ASSETS)
    assert "vendor/swagger-ui/swagger-ui-bundle.js" in console.ASSETS
    assert not [path for path in console.ASSETS if path.endswith((".html", ".map")) or ".." in path]


def test_scripts_and_styles_have_the_types_that_nosniff_asks_for():
    assert console.ASSETS["console.js"].content_type == "text/javascript; charset=utf-8"
    assert console.ASSETS["console.css"].content_type == "text/css; charset=utf-8"
    assert console.HEADERS["X-Content-Type-Options"] == "nosniff"


def test_the_policy_allows_nothing_inline_and_no_other_host():
    assert "unsafe" not in console.CSP
    assert "http" not in console.CSP
    assert "default-src 'self'" in console.CSP
    assert "frame-ancestors 'none'" in console.CSP
    assert console.HEADERS["Content-Security-Policy"] == console.CSP


def test_an_asset_is_read_once_and_its_etag_follows_its_body():
    read = iter([b"once"])
    asset = console.Asset("text/plain", lambda: next(read))
    assert (asset.body, asset.body) == (b"once", b"once")
    assert asset.etag != console.Asset("text/plain", lambda: b"twice").etag


def test_the_vendored_files_are_those_that_their_version_note_names():
    folder = "vendor/swagger-ui/"
    noted = re.findall(
        r"^([0-9a-f]{64})  (\S+)$", console.ASSETS[folder + "VERSION"].body.decode(), re.MULTILINE
    )
    here = {path.removeprefix(folder) for path in console.ASSETS if path.startswith(folder)}
    assert {name for _, name in noted} == here - {"VERSION"}
    assert {name: sha256(console.ASSETS[folder + name].body).hexdigest() for _, name in noted} == {
        name: digest for digest, name in noted
    }
