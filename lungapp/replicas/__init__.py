"""The page as several replicas behind Ray Serve: each visitor stays with the replica that they came to.

    python -m lungapp.replicas --replicas 2
    serve run lungapp.replicas:app replicas=2       where `door.VARIABLE` is set in the environment of Ray

Uploads, sessions, logins and waiting answers lie in the process that took them (`lungapp.ui.vault`), so a visitor's
requests must all reach it. `stay` names the replica in a cookie, `door` stands in Serve's proxies and hands that name
to `router`, which picks the replica; `page` is the page itself, the one that ``app.py`` serves. Ray Serve is optional
(requirements-replicas.txt) and imported where it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray.serve import Application


def app(arguments: dict[str, str]) -> Application:
    """What ``serve run lungapp.replicas:app NAME=VALUE …`` and a Serve configuration ask for.

    Arguments are those of `lungapp.replicas.deployment.Scale`. Raises `InvalidSetting`.
    """
    from lungapp.replicas.deployment import Scale, build

    return build(Scale.read(arguments))
