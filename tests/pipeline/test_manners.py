"""Readers that sleep, drop records or come after another, in whole pipelines."""

from tests.pipeline.running import portfolios, tables

SLOW = {"rate": 4_000.0}  # the day of the tests takes five seconds
AFTER = {"risk": {"after": {"book": "publisher"}, "wait": "park"}}


def ring(ran, name):
    return next(each for each in ran.report.rings if each.name == name)


def reader(ran, name, who):
    return next(each for each in ring(ran, name).readers if each.name == who)


def test_whatever_the_stages_do_while_they_wait_the_records_are_the_same(place):
    kept = []
    for wait in ("backoff", "park", "yield"):
        stages = {name: {"wait": wait} for name in ("book", "risk", "publisher")}
        history = place.history(wait)
        config = place.write(f"{wait}.toml", stages=stages, risk=portfolios(), publisher=history)
        ran = place.run(config)
        assert ran.report.balanced
        assert {stage.wait for stage in ran.report.stages if stage.name != "ingest"} == {wait}
        kept.append(tables(place.folder / wait))
    assert kept[0] == kept[1] == kept[2]


def test_who_sleeps_is_woken_by_the_writer(place):
    stages = {name: {"wait": "park"} for name in ("book", "risk", "publisher")}
    config = place.write(ingest=SLOW, stages=stages, risk=portfolios(), publisher=place.history())
    ran = place.run(config)
    assert ran.report.balanced
    assert ring(ran, "events").wakes > 100
    assert reader(ran, "events", "book").empty_s > 1.0  # of five seconds
    assert not any(each.asleep for part in ran.report.rings for each in part.readers)


def test_risk_that_comes_after_the_publisher_sees_the_same(place):
    calm = place.run(place.write("calm.toml", risk=portfolios(), publisher=place.history("calm")))
    config = place.write(stages=AFTER, risk=portfolios(), publisher=place.history())
    ran = place.run(config)
    assert ran.report.balanced
    assert reader(ran, "book", "risk").after == "publisher"
    assert tables(place.folder / "history") == tables(place.folder / "calm")
    assert ran.stage("risk").counters == calm.stage("risk").counters


def test_risk_never_sees_what_the_publisher_did_not_keep(place):
    stages = AFTER | {"publisher": {"restart": "never"}}
    config = place.write(ingest=SLOW, stages=stages, risk=portfolios(), publisher=place.history())
    running = place.start(config)
    running.until_received("risk", 300)
    running.kill("publisher")
    ran = running.end()
    assert ran.code == 1
    assert "publisher: killed by SIGKILL" in ran.err
    stored, seen = reader(ran, "book", "publisher"), reader(ran, "book", "risk")
    assert 300 <= seen.position <= stored.position < ring(ran, "book").written
    assert ran.stage("risk").life == "finished"


def test_a_publisher_that_drops_slows_nobody_and_counts_what_it_missed(place):
    stages = {"publisher": {"lag": {"book": "drop"}}}
    history = place.history(rows_per_file=500)
    config = place.write(stages=stages, rings={"book": 128}, risk=portfolios(), publisher=history)
    ran = place.run(config)
    assert ran.report.balanced
    publisher = reader(ran, "book", "publisher")
    assert publisher.missed > 0
    assert publisher.read + publisher.missed == ring(ran, "book").written
    counters = ran.stage("publisher").counters
    assert counters["publisher"]["book"] == publisher.read
    sink = counters["sink0"]
    assert sink["written"] + sink["filtered"] == counters["publisher"]["received"]
    assert reader(ran, "book", "risk").missed == 0
