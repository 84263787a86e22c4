"""Logging in and out: the form that stands in the page's place, and the two routes behind it."""

from __future__ import annotations

from html import escape
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from lungapp.cookies import read_cookies, set_cookie
from lungapp.locale import LANGUAGES
from lungapp.report import NOTICE
from lungapp.routes import LOGIN_RULES
from lungapp.texts import mark
from lungapp.ui.language import PARAMETER, current, say, say_html
from lungapp.ui.logins import Logins, TooManyTries

COOKIE = "lungapp-session"

WRONG = mark("Expected a name and its password. Received: a pair that does not belong together.")
TOO_MANY = mark("Expected fewer logins at once. Received: too many; wait a minute, then try again.")
MOST_BYTES = LOGIN_RULES[1].body_limit

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; background: #f4f7f8; color: #14242e }
main { max-width: 24rem; margin: 8vh auto; padding: 1.5rem 2rem; background: #fff; border-radius: 8px }
label, input, button { display: block; width: 100%; box-sizing: border-box; font: inherit }
input { margin: 0 0 1rem; padding: .5rem; border: 1px solid #5a6d78; border-radius: 4px }
button { padding: .6rem; border: 0; border-radius: 4px; background: #1d6073; color: #fff }
nav a { margin-inline-end: .8rem; color: #1d6073 } [role=alert] { color: #a1221b } small { color: #4a5a64 }
"""


def cookie_name(prefix: str) -> str:
    """Of the session's cookie; two pages under one host keep theirs apart."""
    return COOKIE + prefix.replace("/", "-")


def form(problem: str = "") -> str:
    """The whole page for whoever has not logged in, as HTML."""
    links = "".join(
        f'<a href="./?{PARAMETER}={code}" lang="{code}"{" aria-current=true" if code == current() else ""}>{name}</a>'
        for code, name in LANGUAGES.items()
    )
    alert = f'<p role="alert">{escape(problem)}</p>' if problem else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>LungApp</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body><main>'
        f'<h1>LungApp</h1>{alert}<form method="post" action="./login">'
        f'<label for="name">{say_html("Name")}</label>'
        '<input id="name" name="username" autocomplete="username" required autofocus>'
        f'<label for="password">{say_html("Password")}</label>'
        '<input id="password" name="password" type="password" autocomplete="current-password" required>'
        f"<button>{say_html('Log in')}</button></form>"
        f'<p><small>{say_html(NOTICE)}</small></p><nav aria-label="{say_html("Language")}">{links}</nav>'
        "</main></body></html>"
    )


class SignIn:
    """The routes' endpoints; a browser's form is answered with a page, a program with JSON."""

    def __init__(self, logins: Logins, prefix: str) -> None:
        self._logins, self._cookie = logins, cookie_name(prefix)

    async def show(self, request: Request) -> Response:
        return RedirectResponse("./", 303) if request.scope["lungapp.user"] else HTMLResponse(form())

    async def log_in(self, request: Request) -> Response:
        try:
            fields = await _fields(request)
        except ClientDisconnect:
            return Response(status_code=400)
        address = request.client.host if request.client else ""
        name = fields.get("username", "").strip()
        try:
            if not await self._logins.try_password(address, name, fields.get("password", "")):
                return _refusal(request, WRONG, 401)
        except TooManyTries:
            return _refusal(request, TOO_MANY, 429)
        self._logins.sessions.end(read_cookies(request.scope).get(self._cookie, ""))
        return self._answer(request, self._logins.sessions.begin(name))

    async def log_out(self, request: Request) -> Response:
        self._logins.sessions.end(read_cookies(request.scope).get(self._cookie, ""))
        return self._answer(request, "", 0)

    def _answer(self, request: Request, token: str, seconds: int | None = None) -> Response:
        response = RedirectResponse("./", 303) if _is_browser(request) else JSONResponse({"success": True})
        response.raw_headers.append(set_cookie(request.scope, self._cookie, token, seconds))
        return response


def _is_browser(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _refusal(request: Request, problem: str, status: int) -> Response:
    words = say(problem)
    return HTMLResponse(form(words), status) if _is_browser(request) else refusal(words, status)


def refusal(words: str, status: int) -> JSONResponse:
    """For the page, which shows the "detail" of a refusal, and for programs."""
    return JSONResponse({"error": words, "detail": words}, status)


async def _fields(request: Request) -> dict[str, str]:
    """Of the form, the first value of each; none where it is larger than a name and a password are."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            return {}
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
