import json

import pytest

from skjointprune._utils.optional import import_optional


def test_package_that_is_there_is_imported():
    assert import_optional("json", "This", "json") is json


def test_package_that_is_missing_is_named_with_what_installs_it():
    message = r"This needs absent, which is not installed. .*`pip install that\[it\]`"
    with pytest.raises(ImportError, match=message):
        import_optional("absent.module", "This", "that[it]")
