"""CONNECT and CONNACK (3.1, 3.2)."""

from __future__ import annotations

from mqttsuite.case import Bench, case, expect
from mqttsuite.client import PING, Deviation, frame, text

from mqtt.codec import encode
from mqtt.packets import Auth, ConnAck, Connect, Disconnect, PingResp, Publish, Subscribe, Subscription, Unsubscribe, Will
from mqtt.reasons import Reason


def connect_bytes(bench: Bench, **changes: object) -> bytes:
    """A good CONNECT, to be spoilt."""
    return encode(Connect(bench.version, bench.name("a"), keep_alive=60, **changes), bench.version)  # type: ignore[arg-type]


FLAGS = 9
"""Where the connect flags stand in a CONNECT that is shorter than 128 bytes."""


@case("3.1.0-1 3.1.4-1", "3.1.0-1 3.1.4-1")
def test_first_packet_must_be_connect(bench: Bench) -> None:
    """closes when the first packet is not CONNECT"""
    stranger = bench.stranger()
    stranger.raw(encode(Publish(bench.topic()), bench.version), PING)
    stranger.closed()


@case("3.1.0-1 4.8.0-1", "3.1.0-1 4.13.1-1")
def test_subscribe_before_connect(bench: Bench) -> None:
    """closes when a SUBSCRIBE comes before CONNECT"""
    stranger = bench.stranger()
    stranger.raw(encode(Subscribe(1, [Subscription("#")]), bench.version))
    expect(not stranger.closed(), "it answers")


@case("3.1.0-2 4.8.0-1", "3.1.0-2 4.13.1-1")
def test_second_connect(bench: Bench) -> None:
    """closes when a second CONNECT comes"""
    client = bench.client()
    client.refused(connect_bytes(bench))


@case("3.1.2-1", "3.1.2-1")
def test_wrong_protocol_name(bench: Bench) -> None:
    """closes when the protocol name is wrong"""
    stranger = bench.stranger()
    stranger.gone(connect_bytes(bench).replace(b"MQTT", b"MQTX", 1))


@case("3.1.2-2", "3.1.2-2")
def test_unknown_protocol_level(bench: Bench) -> None:
    """refuses a protocol level that does not exist, and closes"""
    data = bytearray(connect_bytes(bench))
    data[8] = 9
    bench.stranger().gone(bytes(data))


@case("3.1.2-3 3.1.4-1", "3.1.2-3 3.1.4-1")
def test_reserved_connect_flag(bench: Bench) -> None:
    """closes when the reserved flag of CONNECT is set"""
    data = bytearray(connect_bytes(bench))
    data[FLAGS] |= 1
    stranger = bench.stranger()
    stranger.raw(bytes(data), PING)
    stranger.closed()


@case("3.1.2-13 3.1.4-1", "3.1.2-11 3.1.4-1")
def test_will_qos_without_will(bench: Bench) -> None:
    """closes when CONNECT has a QoS of the will and no will"""
    data = bytearray(connect_bytes(bench))
    data[FLAGS] |= 0x08
    stranger = bench.stranger()
    stranger.raw(bytes(data), PING)
    stranger.closed()


@case("3.1.2-15 3.1.4-1", "3.1.2-13 3.1.4-1")
def test_will_retain_without_will(bench: Bench) -> None:
    """closes when CONNECT has a retained will and no will"""
    data = bytearray(connect_bytes(bench))
    data[FLAGS] |= 0x20
    stranger = bench.stranger()
    stranger.raw(bytes(data), PING)
    stranger.closed()


@case("3.1.2-14 3.1.4-1", "3.1.2-12 3.1.4-1")
def test_will_qos_3(bench: Bench) -> None:
    """closes when the QoS of the will is 3"""
    data = bytearray(connect_bytes(bench, will=Will(bench.topic(), b"x", 2)))
    data[FLAGS] |= 0x18
    stranger = bench.stranger()
    stranger.raw(bytes(data), PING)
    stranger.closed()


@case("3.1.2-22 3.1.4-1")
def test_password_without_user_name(bench: Bench) -> None:
    """closes when CONNECT has a password and no user name"""
    data = bytearray(connect_bytes(bench, username="", password=b""))
    data[FLAGS] &= ~0x80
    del data[-2:]
    data[1] -= 2
    stranger = bench.stranger()
    stranger.raw(bytes(data), PING)
    stranger.closed()


@case("3.1.4-4 3.2.0-1", "3.1.4-5 3.2.0-1")
def test_connack(bench: Bench) -> None:
    """answers a CONNECT with a CONNACK of success, before anything else"""
    stranger = bench.stranger()
    stranger.raw(connect_bytes(bench), encode(Subscribe(1, [Subscription(bench.topic())]), bench.version), PING)
    ack = stranger.expect(ConnAck)
    expect(ack.reason is Reason.SUCCESS, f"the CONNACK says {ack.reason.text}")


def fields(bench: Bench, flags: int, *payload: bytes) -> bytes:
    """A CONNECT with these flags and this payload, whether they agree or not."""
    return frame(0x10, text("MQTT"), bytes((bench.version, flags)), b"\0\x3c", bench.none(), *payload)


def is_refused(bench: Bench, data: bytes) -> None:
    stranger = bench.stranger()
    stranger.raw(data, PING)
    stranger.closed()


@case("3.1.2-19 3.1.4-1", "3.1.2-17 3.1.4-1")
def test_user_name_missing(bench: Bench) -> None:
    """closes when the flags announce a user name that is not there"""
    is_refused(bench, fields(bench, 0x82, text(bench.name("a"))))


@case("3.1.2-18 3.1.4-1", "3.1.2-16 3.1.4-1")
def test_user_name_not_announced(bench: Bench) -> None:
    """closes when there is a user name that the flags do not announce"""
    is_refused(bench, fields(bench, 0x02, text(bench.name("a")), text("conformance")))


@case("3.1.2-21 3.1.4-1", "3.1.2-19 3.1.4-1")
def test_password_missing(bench: Bench) -> None:
    """closes when the flags announce a password that is not there"""
    is_refused(bench, fields(bench, 0xC2, text(bench.name("a")), text("conformance")))


@case("3.1.2-20 3.1.4-1", "3.1.2-18 3.1.4-1")
def test_password_not_announced(bench: Bench) -> None:
    """closes when there is a password that the flags do not announce"""
    is_refused(bench, fields(bench, 0x82, text(bench.name("a")), text("conformance"), text("secret")))


@case("3.1.2-9 3.1.4-1", "3.1.2-9 3.1.4-1")
def test_will_missing(bench: Bench) -> None:
    """closes when the flags announce a will that is not there"""
    is_refused(bench, fields(bench, 0x06, text(bench.name("a"))))


@case("3.1.2-11 3.1.4-1", "3.1.4-1")
def test_will_not_announced(bench: Bench) -> None:
    """closes when there is a will that the flags do not announce"""
    is_refused(bench, fields(bench, 0x02, text(bench.name("a")), text(bench.topic()), text("x")))


@case("3.1.3-3 3.1.4-1", "3.1.3-3 3.1.4-1")
def test_client_identifier_missing(bench: Bench) -> None:
    """closes when CONNECT has no client identifier"""
    is_refused(bench, fields(bench, 0x02))


@case("3.3.2-2 4.7.1-1", "3.3.2-2 4.7.0-1")
def test_wildcard_in_will_topic(bench: Bench) -> None:
    """does not take a will whose topic has a wildcard"""
    stranger = bench.stranger()
    stranger.raw(fields(bench, 0x06, text(bench.name("a")), bench.none(), text(bench.topic("#")), text("x")), PING)
    stranger.closed()


@case("3.1.3-5", "3.1.3-5")
def test_client_identifiers_of_letters_and_digits(bench: Bench) -> None:
    """takes client identifiers of 1 to 23 letters and digits"""
    for name in ("z", f"0123456789ABCXYZabcxyz{len(bench.name('')) % 10}"[:23]):
        ack = bench.stranger().connect(name, **bench.words())
        expect(ack.reason is Reason.SUCCESS, f"{name} is answered with {ack.reason.text}")


@case("3.1.3-6", "3.1.3-6")
def test_empty_client_identifiers(bench: Bench) -> None:
    """gives each client without an identifier one of its own"""
    clients = [bench.stranger() for _ in range(2)]
    for client in clients:
        ack = client.connect("", **bench.words())
        expect(ack.reason is Reason.SUCCESS, f"the CONNACK says {ack.reason.text}")
    for client in clients:
        client.alive()


@case("3.1.3-8 3.1.3-7 3.1.3-9")
def test_empty_client_identifier_of_a_session_that_stays(bench: Bench) -> None:
    """refuses an empty client identifier without CleanSession with return code 2, and closes"""
    stranger = bench.stranger()
    ack = stranger.connect("", **bench.words(stays=True))
    expect(ack.reason is Reason.CLIENT_IDENTIFIER_NOT_VALID, f"the CONNACK says {ack.reason.text}")
    stranger.closed()


@case(v5="3.2.2-16 3.1.3-7")
def test_assigned_client_identifiers(bench: Bench) -> None:
    """tells clients without an identifier the new one that they have got"""
    names = []
    for _ in range(2):
        ack = bench.stranger().connect("", **bench.words())
        names.append((ack.properties or {}).get("assigned_client_id"))
    expect(all(names) and names[0] != names[1], f"the identifiers are {names}")


@case("3.1.4-2", "3.1.4-3")
def test_take_over(bench: Bench) -> None:
    """closes the older connection of a client that connects again"""
    first = bench.client("a")
    second = bench.client("a")
    first.closed()
    second.alive()


@case(v5="3.1.4-3 3.14.4-1 3.14.4-2 4.13.2-1")
def test_take_over_is_announced(bench: Bench) -> None:
    """says "session taken over" before it closes the older connection"""
    first = bench.client("a")
    bench.client("a")
    said = first.closed()
    expect(said and getattr(said[-1], "reason", None) is Reason.SESSION_TAKEN_OVER, "it says nothing")


@case("3.2.2-5 3.2.2-4 3.1.4-5", "3.2.2-7 3.2.2-6 3.1.4-2")
def test_wrong_password(bench: Bench) -> None:
    """refuses a wrong password without a session, and closes"""
    stranger = bench.stranger()
    ack = stranger.connect(bench.name("a"), **bench.words(password=b"wrong"))
    expect(ack.reason.failed, "the CONNACK says success")
    expect(not ack.session_present, "there is a session present")
    stranger.refused()


@case("3.1.4-5", "3.1.4-6")
def test_nothing_is_done_behind_a_refused_connect(bench: Bench) -> None:
    """does not do what a refused client sends behind its CONNECT"""
    subscriber, publisher = bench.pair()
    stranger = bench.stranger()
    refused = Connect(bench.version, bench.name("a"), username="conformance", password=b"wrong")
    stranger.raw(*(encode(each, bench.version) for each in (refused, Publish(bench.topic(), b"no"))))
    stranger.gone()
    subscriber.silent_from(publisher)


@case("3.1.4-5 4.1.0-1", "3.1.4-2 4.1.0-1")
def test_wrong_password_leaves_others_alone(bench: Bench) -> None:
    """does not disturb a client when somebody else gives its identifier with a wrong password"""
    client = bench.client("a")
    stranger = bench.stranger()
    try:
        stranger.connect(bench.name("a"), **bench.words(password=b"wrong"))
    except Deviation:
        pass  # only closed, which is as good
    client.alive()


@case(v5="3.1.2-28")
def test_no_response_information(bench: Bench) -> None:
    """returns no response information to who does not ask for it"""
    ack = bench.stranger().connect(bench.name("a"), **bench.words(properties={"request_response_information": False}))
    expect("response_information" not in (ack.properties or {}), "it returns some")


@case(v5="3.1.2-29")
def test_no_problem_information(bench: Bench) -> None:
    """sends no reason string and no user properties to who does not want them"""
    client = bench.client(properties={"request_problem_information": False})
    client.send(Subscribe(1, [Subscription("a/#/b"), Subscription(bench.topic())]))
    client.send(Unsubscribe(2, [bench.topic("none")]))
    client.send(Publish("forbidden/x", b"x", 1, packet_id=3))
    client.raw(PING)
    for packet in iter(client.packet, None):
        properties = getattr(packet, "properties", None) or {}
        wrong = {"reason_string", "user_properties"} & properties.keys()
        expect(not wrong or isinstance(packet, Disconnect), f"{packet.type.name} has {wrong}")
        if isinstance(packet, PingResp):
            return


@case(v5="3.14.0-1")
def test_no_disconnect_before_connack(bench: Bench) -> None:
    """sends no DISCONNECT before a CONNACK"""
    stranger = bench.stranger()
    data = bytearray(connect_bytes(bench))
    data[FLAGS] |= 1
    stranger.raw(bytes(data))
    expect(not any(isinstance(each, Disconnect) for each in stranger.closed()), "it sends one")


@case(v5="3.2.0-2 3.1.0-2")
def test_one_connack(bench: Bench) -> None:
    """sends no second CONNACK"""
    said = bench.client().refused(connect_bytes(bench))
    expect(not any(isinstance(each, ConnAck) for each in said), "it sends one")


@case(v5="4.13.1-1")
def test_receive_maximum_0(bench: Bench) -> None:
    """closes when the receive maximum of a CONNECT is 0"""
    is_refused(bench, with_properties(bench, b"\x21\0\0"))


@case(v5="4.13.1-1")
def test_maximum_packet_size_0(bench: Bench) -> None:
    """closes when the maximum packet size of a CONNECT is 0"""
    is_refused(bench, with_properties(bench, b"\x27\0\0\0\0"))


@case(v5="4.13.1-1")
def test_session_expiry_twice(bench: Bench) -> None:
    """closes when the session expiry interval comes twice"""
    is_refused(bench, with_properties(bench, b"\x11\0\0\0\1\x11\0\0\0\1"))


@case(v5="4.13.1-1")
def test_request_problem_information_2(bench: Bench) -> None:
    """closes when a property that is 0 or 1 is 2"""
    is_refused(bench, with_properties(bench, b"\x17\2"))


def with_properties(bench: Bench, properties: bytes) -> bytes:
    size = bytes((len(properties),))
    return frame(0x10, text("MQTT"), b"\5\2\0\x3c", size, properties, text(bench.name("a")))


@case(v5="4.12.0-1")
def test_unknown_authentication_method(bench: Bench) -> None:
    """refuses an authentication method that does not exist"""
    stranger = bench.stranger()
    stranger.raw(with_properties(bench, b"\x15" + text("NO-SUCH-METHOD")), PING)
    stranger.closed()


@case(v5="4.13.1-1")
def test_authentication_data_without_method(bench: Bench) -> None:
    """closes when there is authentication data without a method"""
    is_refused(bench, with_properties(bench, b"\x16" + text("data")))


@case(v5="4.12.0-6")
def test_no_authentication_method_in_connack(bench: Bench) -> None:
    """names no authentication method to a client that has named none"""
    ack = bench.stranger().connect(bench.name("a"), **bench.words())
    expect("authentication_method" not in (ack.properties or {}), "it names one")


@case(v5="4.12.0-7")
def test_auth_without_method(bench: Bench) -> None:
    """closes when an AUTH comes from a client that has named no method"""
    bench.client().refused(encode(Auth(Reason.REAUTHENTICATE, {"authentication_method": "x"}), bench.version))


@case(v5="3.15.1-1")
def test_flags_of_auth(bench: Bench) -> None:
    """closes when the flags of AUTH are wrong"""
    bench.client().refused(b"\xf1\0")
