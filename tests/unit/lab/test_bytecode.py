# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A machine of the lab that keeps compiled modules runs what it is sent: the same source from another zip file, a changed source, a damaged record."""

from __future__ import annotations

import marshal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

MACHINES = Path(__file__).resolve().parents[3] / "lab" / "machines"
# As the .pth file does, with a folder of the test's own.
START = "import lab_bytecode; lab_bytecode.FOLDER = sys.argv[1]; lab_bytecode.os.geteuid = int; sys.path.insert(0, sys.argv[2]); import sent"
RAISES = "def fail():\n    raise ValueError('here')\n"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "kept"


def imported(kept: Path, archive: Path, source: str, more: str = "") -> str:
    """What importing a module from a new zip file prints."""
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("sent.py", source)
    program = f"import sys; sys.path.insert(0, {str(MACHINES)!r}); {START}{more}"
    done = subprocess.run([sys.executable, "-I", "-B", "-c", program, str(kept), str(archive)], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_what_was_compiled_is_used_again(kept: Path, tmp_path: Path) -> None:
    assert imported(kept, tmp_path / "1.zip", "print('one')") == "one\n"
    # A record that can be told from the source.
    [record] = kept.iterdir()
    record.write_bytes(marshal.dumps(compile("print('kept')", "sent.py", "exec")))
    assert imported(kept, tmp_path / "2.zip", "print('one')") == "kept\n"


def test_another_source_is_compiled(kept: Path, tmp_path: Path) -> None:
    imported(kept, tmp_path / "1.zip", "print('one')")
    assert imported(kept, tmp_path / "1.zip", "print('two')") == "two\n"


def test_tracebacks_name_the_file_that_was_sent(kept: Path, tmp_path: Path) -> None:
    imported(kept, tmp_path / "1.zip", RAISES)
    assert f'File "{tmp_path}/2.zip/sent.py", line 2, in fail' in imported(kept, tmp_path / "2.zip", RAISES, "; sent.fail()")


def test_a_damaged_record_is_replaced(kept: Path, tmp_path: Path) -> None:
    imported(kept, tmp_path / "1.zip", "print('one')")
    [record] = kept.iterdir()
    record.write_bytes(record.read_bytes()[:-5])
    assert imported(kept, tmp_path / "1.zip", "print('one')") == "one\n"
    assert marshal.loads(record.read_bytes())


def test_without_room_it_compiles_each_time(tmp_path: Path) -> None:
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    assert imported(nowhere / "folder", tmp_path / "1.zip", "print('one')") == "one\n"
