"""The text that Prometheus reads, line by line as its format page says."""

from __future__ import annotations

from beehive.metrics import Counter, Histogram, counter, gauge, text


def test_a_page() -> None:
    calls = Counter("calls_total", "Calls.", ("code", "method"))
    calls.add("200", "GET")
    calls.add("200", "GET")
    calls.add("<error>", "PATCH")
    page = text([gauge("up", "Whether.", True), counter("seconds_total", "Time.", 1.25), calls.family()])
    assert page.splitlines() == [
        "# HELP up Whether.",
        "# TYPE up gauge",
        "up 1",
        "# HELP seconds_total Time.",
        "# TYPE seconds_total counter",
        "seconds_total 1.25",
        "# HELP calls_total Calls.",
        "# TYPE calls_total counter",
        'calls_total{code="200",method="GET"} 2',
        'calls_total{code="<error>",method="PATCH"} 1',
    ]
    assert page.endswith("\n")


def test_buckets_are_cumulative_and_include_their_bound() -> None:
    seconds = Histogram("seconds", "Time.", "verb", bounds=(0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        seconds.observe("GET", value)
    assert text([seconds.family()]).splitlines()[2:] == [
        'seconds_bucket{verb="GET",le="0.1"} 2',
        'seconds_bucket{verb="GET",le="1"} 3',
        'seconds_bucket{verb="GET",le="+Inf"} 4',
        'seconds_sum{verb="GET"} 7.65',
        'seconds_count{verb="GET"} 4',
    ]


def test_labels_and_help_are_escaped() -> None:
    page = text([gauge("a", 'one\ntwo \\ "x"', 1, {"version": 'a"b\\c\nd'})])
    assert page == '# HELP a one\\ntwo \\\\ "x"\n# TYPE a gauge\na{version="a\\"b\\\\c\\nd"} 1\n'
