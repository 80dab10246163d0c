"""Digests depend on content alone."""

import hashlib
import subprocess
import sys

import pytest

from benchmark.digest import digest, stable_hash


def test_digest_is_the_sha256_of_canonical_json() -> None:
    text = b'{"a":[1,null,2.5],"b":{"c":"\\u00fc"}}'
    content = {"b": {"c": "ü"}, "a": [1, None, 2.5]}
    assert digest(content) == hashlib.sha256(text).hexdigest()[:12]


@pytest.mark.parametrize("other", [{"a": 2}, {"b": 1}, {"a": "1"}, [{"a": 1}], {"a": 1, "b": None}])
def test_other_content_has_another_digest(other: object) -> None:
    assert digest(other) != digest({"a": 1})


def test_hash_is_that_of_any_process() -> None:
    code = "from benchmark.digest import stable_hash; print(stable_hash('case 7'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == stable_hash("case 7")
    assert stable_hash("case 7") != stable_hash("case 8")
