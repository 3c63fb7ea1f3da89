"""The site of the documentation is built, needs no network, and can be searched from a folder."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tools.docs import site
from tools.docs.nav import NAV

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(not importlib.util.find_spec("zensical"), reason="`make docs` installs Zensical"),
]

#: Opens the search, types a word, and writes what is found into the title of the page.
_SEARCH = """<script>
const inside = (root) => [...root.querySelectorAll("*")].flatMap((each) =>
  [each, ...(each.shadowRoot ? inside(each.shadowRoot) : [])])
setInterval(() => {
  const text = inside(document).map((each) => each.textContent).find((each) => /^[0-9]+ results$/.test(each))
  if (text) { document.title = text; return }
  const input = inside(document).filter((each) => each.tagName === "INPUT" && each.type === "text").at(-1)
  if (!input) { document.querySelector(".md-search__button").click(); return }
  Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(input, "quarantine")
  input.dispatchEvent(new Event("input", { bubbles: true, composed: true }))
}, 300)
</script>"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    build = tmp_path_factory.mktemp("docs") / "build"
    assert site.main(build) == 0
    return build / "site"


def test_the_site_has_every_page(built: Path) -> None:
    places = {place for section in NAV.values() for place in section}
    assert {place for place in places if not (built / place).with_suffix(".html").exists()} == set()


def test_no_page_script_or_style_names_a_file_from_elsewhere(built: Path) -> None:
    for path in [*built.rglob("*.html"), *built.rglob("*.css")]:
        text = path.read_text()
        assert not re.search(r"""(?:src=|url\(|@import )["']?(?:https?:)?//""", text), path.name
        # For a diagram of Mermaid the theme's script would fetch its library.
        assert 'class="mermaid"' not in text, path.name


def test_the_search_works_from_a_folder(built: Path, tmp_path: Path) -> None:
    """On a `file:` page, where a browser starts no worker, and no network is there."""
    program = shutil.which("chromium") or pytest.skip("Chromium is not installed")
    page = built / "search-me.html"
    page.write_text((built / "index.html").read_text().replace("</body>", _SEARCH + "</body>"))
    ran = subprocess.run(
        [
            program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path}",
            "--virtual-time-budget=20000", "--dump-dom", page.as_uri(),
        ],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    found = re.search(r"<title>(\d+) results</title>", ran.stdout)
    assert found, re.findall(r"<title>.*?</title>", ran.stdout)
    assert int(found[1]) > 1
