"""The short version of a test that runs on its own."""

from tests.system.process import passed


def test_no_forgery_is_obeyed() -> None:
    """What is replayed, redirected, expired, unsigned, cut or changed is not obeyed, across its restarts."""
    assert passed("tests.security.forgeries", "--times", "20", "--rounds", "3").count("0 of 20 obeyed") == 8
