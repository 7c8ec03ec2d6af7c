"""``kaogan studio``: its help, and its mistakes in one line each."""

from __future__ import annotations

import sys

import pytest

from kaogan import cli
from kaogan.studio import app, serve
from kaogan.studio.serve import listen


@pytest.fixture
def run(capsys, monkeypatch):
    def call(*query: object):
        monkeypatch.setattr(sys, "argv", ["kaogan", "studio", *map(str, query)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return ended.value.code, out, err

    return call


def test_help_names_the_options(run):
    code, out, _ = run("--help")
    assert code == 0 and all(name in out for name in ("--host", "--port", "--models", "127.0.0.1", "FOLDER"))


def test_a_taken_port_and_a_missing_folder(run, tmp_path):
    with listen("127.0.0.1", 0) as taken:
        code, _, err = run(tmp_path, "--port", taken.getsockname()[1])
    assert code == 1 and "is in use" in err and err.count("\n") == 1
    code, _, err = run(tmp_path / "nothing", "--port", 0)
    assert code == 2 and "no such folder" in err and err.count("\n") == 1


def test_who_can_see_it_is_said(run, tmp_path, monkeypatch):
    requested = []
    monkeypatch.setattr(serve.uvicorn.Server, "run", lambda self, sockets: requested.append(self.config))
    code, out, _ = run(tmp_path, "--port", 0)
    assert code == 0 and "http://127.0.0.1:" in out and "Everyone" not in out
    code, out, _ = run(tmp_path, "--port", 0, "--host", "0.0.0.0")
    assert "Everyone who can reach this address" in out and "neither started nor stopped" in out
    assert all(config.http is serve.PatientProtocol and not config.access_log for config in requested)


def test_behind_a_proxy(run, tmp_path, monkeypatch):
    built = []
    monkeypatch.setattr(serve.uvicorn.Server, "run", lambda self, sockets: None)
    monkeypatch.setattr(app, "build_app", lambda *given: built.append(given))
    monkeypatch.setattr(serve, "config_of", lambda app: serve.uvicorn.Config(app))
    code, out, _ = run(tmp_path, "--port", 0, "--allowed-host", "Hub.example.org", "--root-path", "/user/me/")
    assert code == 0 and "whom the proxy lets through" in out
    [(_, names, local, root_path)] = built
    assert "hub.example.org" in names and "localhost" in names and local and root_path == "/user/me"
    for wrong in (("--allowed-host", "a b"), ("--allowed-host", "a.example:99999"), ("--root-path", "user"),
                  ("--root-path", "/a//b"), ("--root-path", "/a?b")):  # fmt: skip
        code, _, err = run(tmp_path, "--port", 0, *wrong)
        assert code == 2 and "write it as in" in err and err.count("\n") == 1
