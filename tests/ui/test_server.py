"""The server behind the page: who may ask, what, and what happens when something goes wrong."""

from __future__ import annotations

import logging
import socket
from http import HTTPStatus

import pytest
from helpers.pages import serving

from mfx.errors import MfxError
from mfx.ui import server
from mfx.ui.answers import Answer, NotFoundError, WrongQueryError


def page(query):
    return Answer(f"asked {query}")


def fails(kind, query):
    raise {
        "wrong": WrongQueryError("it is wrong", "Mend it."),
        "absent": NotFoundError("it is not there"),
        "gone": MfxError("the store is gone"),
        "file": OSError(13, "Permission denied", "/x"),
        "bug": KeyError("a bug"),
    }[kind]


def error_page(status, what, remedy):
    return Answer(f"{what}|{remedy}", status)


ROUTES = [("/", page), (r"/fails/(\w+)", fails)]


@pytest.fixture
def ask():
    with serving(server.listen(0, ROUTES, error_page)) as client:
        yield client


def test_it_listens_on_this_machine_alone():
    one = server.listen(0, ROUTES, error_page)
    try:
        assert one.server_address[0] == "127.0.0.1"
        assert one.address == f"http://127.0.0.1:{one.server_port}/"
    finally:
        one.server_close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:1", "[::1]", "127.0.0.1:99"])
def test_this_machine_goes_by_its_own_names(ask, host):
    assert ask("/", Host=host).status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_another_name_for_this_machine_is_refused(ask, host):
    """A page elsewhere whose name leads to 127.0.0.1 could read runs otherwise."""
    got = ask("/", Host=host)
    assert got.status == 403 and f"Open http://127.0.0.1:{ask.port}/ instead." in got.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "X"])
def test_nothing_but_reading_is_let_in(ask, method):
    got = ask("/", method)
    assert (got.status, got.headers["Allow"]) == (405, "GET, HEAD")
    assert got.text == f"{method}: this page only shows|"


def test_a_head_is_a_get_without_its_text(ask):
    get, head = ask("/?a=1"), ask("/?a=1", "HEAD")
    assert (get.status, get.text) == (200, "asked a=1")
    assert (head.status, head.text) == (200, "")
    assert head.headers["Content-Length"] == get.headers["Content-Length"] == "9"


def test_every_answer_is_kept_harmless(ask):
    for path in ("/", "/fails/bug", "/nowhere"):
        headers = ask(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy and "http" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in headers and "Python" not in headers["Server"]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/fails/wrong", 400, "it is wrong|Mend it."),
        ("/fails/absent", 404, "it is not there|"),
        ("/nowhere", 404, "there is no page /nowhere|"),
        ("/fails/gone", 502, "the store is gone|"),
        ("/fails/file", 502, "[Errno 13] Permission denied: '/x'|"),
        ("/fails/bug", 500, "KeyError: 'a bug'|This is a mistake in MFX; please report it."),
    ],
)
def test_what_goes_wrong_is_one_message(ask, path, status, said, caplog):
    caplog.set_level(logging.ERROR)
    got = ask(path)
    assert (got.status, got.text) == (status, said)
    assert ("Traceback" in caplog.text) == (status == 500), "in the terminal alone"


def test_metaflows_own_errors_are_said_as_they_are(ask, monkeypatch):
    from metaflow.exception import MetaflowException

    status, what, _ = server._told(MetaflowException("the bucket\nis gone"))
    assert (status, what) == (HTTPStatus.BAD_GATEWAY, "the bucket is gone")


def test_what_is_no_http_is_refused_in_few_words(ask):
    with socket.create_connection(("127.0.0.1", ask.port)) as one:
        one.sendall(b"hello there, you\r\n\r\n")
        said = one.makefile("rb").read().decode()
    assert "Bad request version" in said and "Traceback" not in said
    assert ask("/").status == 200, "it goes on"


def test_the_next_free_port_is_taken_unless_one_is_asked_for():
    first = server.listen(None, ROUTES, error_page)
    second = server.listen(None, ROUTES, error_page)
    try:
        assert second.server_port > first.server_port >= server.PORT
        with pytest.raises(MfxError) as caught:
            server.listen(first.server_port, ROUTES, error_page)
        assert caught.value.what == (
            f"port {first.server_port} on 127.0.0.1: Address already in use"
        )
    finally:
        first.server_close()
        second.server_close()


def test_a_port_that_is_taken_closes_nothing_else():
    closed = []
    first = server.listen(0, ROUTES, error_page, lambda: closed.append("first"))
    with pytest.raises(MfxError):
        server.listen(first.server_port, ROUTES, error_page, lambda: closed.append("second"))
    assert closed == []
    first.server_close()
    assert closed == ["first"]
