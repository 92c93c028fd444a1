"""alias, signin and signout: what touches the machine and what only tells of it."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from ollama_jupyter.cli import main
from ollama_jupyter.cli.account import public_key


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the PATH, behind another one, with the script that we are called by."""
    folder = tmp_path / "bin"
    for path in (folder, tmp_path / "other"):
        path.mkdir()
    script = folder / "ollama-jupyter"
    script.write_text("#!/bin/sh\necho ours\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'other'}{os.pathsep}{folder}")
    monkeypatch.setattr("sys.argv", [str(script)])
    return folder


def test_an_alias_is_put_there_and_taken_away(bin_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = bin_folder / "ollama"
    said = [f"{target} is ollama-jupyter now", f"{target} is ollama-jupyter already"]
    for line in said:
        assert main(["alias"]) == 0
        assert capsys.readouterr().out == f"{line}\n"
        assert subprocess.run([target], capture_output=True, text=True, check=True).stdout == "ours\n"
    for line in (f"removed {target}", f"there is no {target}"):
        assert main(["alias", "--remove"]) == 0
        assert capsys.readouterr().out == f"{line}\n"
        assert not os.path.lexists(target)


@pytest.mark.parametrize("folder", ["bin", "other"])
def test_a_real_ollama_is_not_hidden(folder: str, bin_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real = bin_folder.parent / folder / "ollama"
    real.write_text("the real one")
    assert main(["alias"]) == 1
    assert capsys.readouterr().err == f"Error: {real} is another program named ollama, which an alias would hide\n"
    assert real.read_text() == "the real one"
    assert len(list(bin_folder.iterdir())) == (2 if folder == "bin" else 1)


def test_a_real_ollama_is_not_removed(bin_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real = bin_folder / "ollama"
    real.symlink_to("/nowhere/ollama")
    assert main(["alias", "--remove"]) == 1
    assert capsys.readouterr().err == f"Error: {real} is another program named ollama\n"
    assert real.is_symlink()


def test_aliases_of_other_environments_and_copies_are_ours(bin_folder: Path) -> None:
    (bin_folder.parent / "other" / "ollama").symlink_to("/somewhere/bin/ollama-jupyter")
    assert main(["alias"]) == 0
    (bin_folder / "ollama").unlink()
    shutil.copy2(bin_folder / "ollama-jupyter", bin_folder / "ollama")
    assert main(["alias", "--remove"]) == 0
    assert not (bin_folder / "ollama").exists()


# ---- accounts -----------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ollama").mkdir()
    return tmp_path


def write_key(home: Path) -> str:
    """A new key as OpenSSH writes it; its public line."""
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.OpenSSH, forms.NoEncryption())
    (home / ".ollama" / "id_ed25519").write_bytes(private)
    return key.public_key().public_bytes(forms.Encoding.OpenSSH, forms.PublicFormat.OpenSSH).decode()


@pytest.mark.parametrize("verb", ["signin", "login"])
def test_signin_tells_what_it_would_do(verb: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    public = write_key(home)
    assert main([verb]) == 0
    shown = capsys.readouterr().out
    assert "nothing was sent anywhere" in shown
    assert f"\n    {public}\n" in shown
    address = urlsplit(shown.split()[-1])
    assert (address.scheme, address.netloc, address.path) == ("https", "ollama.com", "/connect")
    [key] = parse_qs(address.query)["key"]
    assert base64.urlsafe_b64decode(key + "==").decode() == public


def test_signin_without_a_key(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["signin"]) == 1
    assert f"ssh-keygen -t ed25519 -N '' -f {home}/.ollama/id_ed25519" in capsys.readouterr().out
    assert not list((home / ".ollama").iterdir())


@pytest.mark.parametrize("text", ["", "-----BEGIN X-----\nAAAA\n-----END X-----", "not base64 !"])
def test_signin_with_another_kind_of_file(text: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / ".ollama" / "id_ed25519").write_text(text)
    assert main(["signin"]) == 1
    assert capsys.readouterr().err == f"Error: {home}/.ollama/id_ed25519 is no unencrypted OpenSSH key\n"


def test_a_key_that_is_cut_off(home: Path) -> None:
    write_key(home)
    lines = (home / ".ollama" / "id_ed25519").read_text().splitlines()
    with pytest.raises(ValueError, match="cut off"):
        public_key("\n".join([lines[0], lines[1][:20], lines[-1]]))


@pytest.mark.parametrize("verb", ["signout", "logout"])
def test_signout_tells_what_it_would_do(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb]) == 0
    assert "nothing to sign out of" in capsys.readouterr().out
