"""axe-core on a page as it stands: nothing serious may be found."""

from __future__ import annotations

from playwright.sync_api import Page

GRAVE = ("serious", "critical")
RUN = "async () => (await axe.run(document, { resultTypes: ['violations'] })).violations"


def check(page: Page, axe: str) -> None:
    """Run axe-core, whose script is ``axe``, on ``page``."""
    page.evaluate(axe)
    found = [
        f"{violation['id']}: {node['html'][:120]} {node['failureSummary']}"
        for violation in page.evaluate(RUN)
        for node in violation["nodes"]
        if violation["impact"] in GRAVE
    ]
    assert found == [], "\n".join(found)
