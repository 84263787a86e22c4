"""The page as a Ray Serve application: how many replicas, and what each is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lungapp.errors import InvalidSetting
from lungapp.replicas.page import MakeEngine, Page, make_engine
from lungapp.settings import Settings

if TYPE_CHECKING:
    from ray.serve import Application

MOST = 10_000

LOGGING = {"log_level": "WARNING", "enable_access_log": False}
"""Of Serve's own: what is asked is nobody's business (`lungapp.ui.record`)."""

DRAIN_SECONDS = 0.5
"""How often Serve looks whether a replica that is to end has finished what it has begun; its grace is the settings'."""


@dataclass(frozen=True)
class Scale:
    """``replicas`` from the start; up to ``most`` where that is more, one for each ``pages`` open pages.

    ``cpus`` is what Ray sets aside for a replica.
    """

    replicas: int = 2
    most: int = 0
    pages: int = 50
    cpus: float = 1.0

    @classmethod
    def read(cls, arguments: Mapping[str, str]) -> Scale:
        """From texts. Raises `InvalidSetting`, which names the argument."""
        for name in arguments:
            if name not in cls.__dataclass_fields__:
                raise InvalidSetting(
                    f"Expected arguments out of: {', '.join(cls.__dataclass_fields__)}. Received: {str(name)[:40]!r}"
                )
        own = cls()
        scale = cls(
            replicas=_whole("replicas", arguments.get("replicas", own.replicas)),
            most=_whole("most", arguments.get("most", own.most), least=0),
            pages=_whole("pages", arguments.get("pages", own.pages)),
            cpus=_share(arguments.get("cpus", own.cpus)),
        )
        if 0 < scale.most < scale.replicas:
            raise InvalidSetting(f"Expected most to be at least replicas, {scale.replicas}. Received: {scale.most}")
        return scale


def build(scale: Scale, make: MakeEngine = make_engine) -> Application:
    """The application for ``serve.run``. ``make`` gives each replica its engine, in its own process."""
    from ray import serve
    from ray.serve.config import RequestRouterConfig

    growing: dict[str, Any] = {"num_replicas": scale.replicas}
    if scale.most > scale.replicas:
        growing = {
            "autoscaling_config": {
                "min_replicas": scale.replicas,
                "max_replicas": scale.most,
                # An open page has one request going as long as it is open: its heartbeat.
                "target_ongoing_requests": scale.pages,
                # Taking a replica away takes its visitors' sessions away: only after a quiet hour.
                "downscale_delay_s": 3600,
            }
        }
    deployment = serve.deployment(
        name="Page",
        # A visitor waits for their own replica, never for another: what is too much, the page's own queue refuses.
        max_ongoing_requests=MOST,
        ray_actor_options={"num_cpus": scale.cpus},
        logging_config=LOGGING,
        graceful_shutdown_timeout_s=max(1, Settings.from_env().grace),
        graceful_shutdown_wait_loop_s=DRAIN_SECONDS,
        request_router_config=RequestRouterConfig(
            request_router_class="lungapp.replicas.router.StayingRouter",
            request_router_kwargs={"num_fallback_replicas": 0},
        ),
        **growing,
    )(serve.ingress()(Page))
    return deployment.bind(make)


def _whole(name: str, given: str | int, least: int = 1) -> int:
    text = str(given)
    if not (text.isascii() and text.isdigit() and least <= int(text[:9]) <= MOST):
        raise InvalidSetting(f"Expected {name} to be a whole number from {least} to {MOST}. Received: {text[:40]!r}")
    return int(text)


def _share(given: str | float) -> float:
    try:
        value = float(given)
    except ValueError:
        value = 0.0
    if not 0.01 <= value <= 1024:
        raise InvalidSetting(f"Expected cpus to be a number from 0.01 to 1024. Received: {str(given)[:40]!r}")
    return value
