"""A headless Chromium that shows a page as a file, and says what happened on it."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

MISSING = next(
    (
        f"no {name}: apt-get install chromium chromium-driver"
        for name in ("chromium", "chromedriver")
        if not shutil.which(name)
    ),
    None,
)
"""Why there is no browser, or None."""


class Browser:
    """A page at a time, in a window of a given size and colour scheme."""

    def __init__(self, driver: Chrome) -> None:
        self._driver = driver

    def show(self, page: Path, *, width: int = 1280, scheme: str = "light") -> None:
        """Load `page` anew, with nothing remembered."""
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        self._command("Emulation.setDeviceMetricsOverride", size)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self._command("Emulation.setEmulatedMedia", media)
        self._driver.get(page.as_uri())
        self.run("try { localStorage.clear(); } catch {}")
        self._driver.refresh()

    def reload(self) -> None:
        """The same page again, with what it remembers."""
        self._driver.refresh()

    def run(self, script: str) -> Any:
        """The value that `script` returns."""
        return self._driver.execute_script(script)

    def complaints(self) -> list[str]:
        """Errors and warnings in the console since last asked."""
        entries = self._driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in entries]

    def requests(self) -> list[str]:
        """Addresses asked for since last asked, the page's own included."""
        entries = self._driver.get_log("performance")  # type: ignore[no-untyped-call]
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

    def _command(self, name: str, arguments: dict[str, Any]) -> None:
        self._driver.execute_cdp_cmd(name, arguments)


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium, until the block ends."""
    options = Options()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # which Chromium's own sandbox wants of root
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
