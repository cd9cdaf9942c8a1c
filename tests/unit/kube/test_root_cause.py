from __future__ import annotations

import ssl

from kube.transport import root_cause


def test_the_text_of_a_cause() -> None:
    assert root_cause(ConnectionRefusedError(111, "x")) == "Connection refused"
    assert root_cause(ValueError()) == "ValueError"


def test_the_numbers_of_tls_are_not_those_of_the_system() -> None:
    """8 is the end of the stream there, and "Exec format error" here."""
    assert root_cause(ssl.SSLEOFError(8, "EOF occurred in violation of protocol")) == "EOF occurred in violation of protocol"
