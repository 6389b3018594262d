"""The completion scripts: a shell reads them, and bash completes verbs and flags out of them."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from reconcilers.cli import main

ASK = 'COMP_WORDS=({words}); COMP_CWORD={at}; _shtab_mlab; printf "%s\\n" "${{COMPREPLY[@]}}"'


def completed(script: str, *words: str) -> list[str]:
    ask = ASK.format(words=" ".join(f"'{word}'" for word in words), at=len(words) - 1)
    done = subprocess.run(["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_bash_completes_verbs_and_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert completed(script, "mlab", "pla") == ["plan"]
    assert completed(script, "mlab", "apply", "--dig") == ["--digest"]
    assert "--exclude" in completed(script, "mlab", "plan", "--e")


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells_get_a_script_of_their_own(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "mlab" in script and "apply" in script
    if shell == "zsh" and shutil.which("zsh"):
        subprocess.run(["zsh", "-n"], input=script, text=True, check=True)
