"""Trouble in a log: said when it is new, again every 30 s while it lasts, and when it is over."""

from __future__ import annotations

import logging
import time
from typing import Final

REMIND_S: Final = 30.0


class News:
    """What was last said of a trouble to `log`. text: it, "" when all is well."""

    def __init__(self, log: logging.Logger) -> None:
        self.text = ""
        self._log = log
        self._said_at_s = 0.0

    def trouble(self, text: str) -> None:
        """Log `text`, unless the same was said in the last 30 s."""
        if text != self.text or time.monotonic() - self._said_at_s > REMIND_S:
            self._log.error(text)
            self._said_at_s = time.monotonic()
        self.text = text

    def good(self, text: str) -> None:
        """Log `text` if there was trouble before."""
        if self.text:
            self._log.info(text)
        self.text = ""
