"""Digests depend only on content."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.storage.digest import code, digest, stable_hash


def test_digest_is_the_sha256_of_canonical_json() -> None:
    text = b'{"a":[1,null,2.5],"b":{"c":"\\u00fc"}}'
    content = {"b": {"c": "ü"}, "a": [1, None, 2.5]}
    assert digest(content) == hashlib.sha256(text).hexdigest()[:12]


@pytest.mark.parametrize("other", [{"a": 2}, {"b": 1}, {"a": "1"}, [{"a": 1}], {"a": 1, "b": None}])
def test_other_content_has_another_digest(other: object) -> None:
    assert digest(other) != digest({"a": 1})


def test_hash_is_that_of_any_process() -> None:
    code = "from benchmark.storage.digest import stable_hash; print(stable_hash('case 7'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == stable_hash("case 7")
    assert stable_hash("case 7") != stable_hash("case 8")


def test_code_is_names_and_content_wherever_it_lies(tmp_path: Path) -> None:
    def digest_of(files: dict[str, str], folder: str = "here") -> str:
        for name, content in files.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return code(tmp_path / folder / "package", tmp_path / folder / "module.py")

    files = {"package/a.py": "1", "package/sub/b.txt": "2", "module.py": "3", "other.py": "4"}
    first = digest_of(files)
    assert first == digest_of(files, "there")
    assert first == digest_of({"package/__pycache__/a.pyc": "x", "other.py": "5"})
    changed = [digest_of(files | {name: "0"}, name) for name in ("package/sub/b.txt", "module.py")]
    renamed = digest_of({"package/c.py": "1", "package/sub/b.txt": "2", "module.py": "3"}, "new")
    assert len({first, *changed, renamed}) == 4
