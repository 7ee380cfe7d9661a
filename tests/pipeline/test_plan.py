"""What a plan chooses on hosts of all sizes, and why."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import plan
from pipeline.config import STAGES, Config, ConfigError
from pipeline.plan import TAP, check_stages
from ringbuf import memory
from ringbuf.ring import Policy
from ringbuf.share import Seat
from tuning.topology import Core, Node, Topology

GIB = 1 << 30


def host(cores=2, threads=1, nodes=1, isolated=(), allowed=None) -> Topology:
    """A host as Linux numbers it: first threads of all cores, then the second ones."""
    count = cores * threads
    siblings = {n: tuple(range(n % cores, count, cores)) for n in range(count)}
    node_of = {n: (n % cores) * nodes // cores for n in range(count)}
    return Topology(
        cores=tuple(Core(n, node_of[n], node_of[n], siblings[n]) for n in range(count)),
        nodes=tuple(
            Node(node, tuple(n for n in range(count) if node_of[n] == node), 8 * GIB)
            for node in range(nodes)
        ),
        allowed=frozenset(range(count) if allowed is None else allowed),
        isolated=frozenset(isolated),
        model="imagined",
    )


PORTFOLIO = {"name": "p", "positions": {"ABC": {"quantity": 1, "price": 1.0}}}


def config(**tables) -> Config:
    whole = {
        "name": "planned",
        "feeds": [{"kind": "itch", "path": "day.itch"}],
        "risk": {"portfolios": [PORTFOLIO]},
        "publisher": {"sinks": [{"kind": "jsonl", "path": "-"}]},
    }
    return msgspec.convert(whole | tables, Config)


def placed(made: plan.Plan) -> dict:
    return {stage.name: (stage.core, stage.wait) for stage in made.stages}


def readers(part: plan.SegmentPlan) -> tuple[str, ...]:
    return tuple(seat.name for seat in part.readers)


def test_one_core_is_shared_by_all_and_nobody_spins():
    made = plan.make(config(), host(1))
    waits = {"ingest": "backoff"}
    assert placed(made) == {name: (0, waits.get(name, "park")) for name in STAGES}
    assert "4 processes, 1 free cores: neighbours in the flow share a core" in made.notes[0]
    assert [len(process) for process in made.processes] == [1, 1, 1, 1]


def test_two_cores_are_shared_by_neighbours_in_the_flow():
    made = plan.make(config(), host(2))
    assert placed(made) == {
        "ingest": (0, "backoff"),
        "book": (0, "park"),
        "risk": (1, "park"),
        "publisher": (1, "park"),
    }
    assert "share" in made.notes[0]
    assert made.notes[1:] == ("core 0: ingest", "core 0: book", "core 1: risk", "core 1: publisher")


def test_four_cores_are_one_for_each_and_all_spin():
    made = plan.make(config(), host(4))
    assert placed(made) == {name: (core, "spin") for core, name in enumerate(STAGES)}
    assert made.notes[0] == "4 processes, 4 free cores: a core for each"


def test_of_sixteen_threads_whole_cores_of_one_node_come_first_and_core_0_last():
    made = plan.make(config(), host(8, threads=2, nodes=2))
    assert placed(made) == {name: (core, "spin") for core, name in enumerate(STAGES, 1)}
    assert {stage.name: stage.node for stage in made.stages} == {
        "ingest": 0, "book": 0, "risk": 0, "publisher": 1,
    }  # fmt: skip
    assert not {stage.core for stage in made.stages} & {8, 9, 10, 11, 12, 13, 14, 15}


def test_second_threads_are_taken_only_where_whole_cores_run_out():
    made = plan.make(config(), host(2, threads=2))
    assert [stage.core for stage in made.stages] == [0, 1, 2, 3]


def test_isolated_cores_are_taken_first():
    made = plan.make(config(), host(8, isolated=(4, 5, 6, 7)))
    assert [stage.core for stage in made.stages] == [4, 5, 6, 7]


def test_cores_that_are_not_granted_are_not_taken():
    made = plan.make(config(), host(16, allowed=(9, 12)))
    assert {stage.core for stage in made.stages} == {9, 12}


def test_named_cores_are_kept_and_the_rest_goes_around_them():
    made = plan.make(config(stages={"book": {"core": 2}, "risk": {"core": 0}}), host(4))
    assert placed(made) == {
        "ingest": (1, "spin"), "book": (2, "spin"), "risk": (0, "spin"), "publisher": (3, "spin"),
    }  # fmt: skip
    everything = {name: {"core": core} for core, name in enumerate(STAGES)}
    made = plan.make(config(stages=everything), host(4))
    assert made.notes == ("every process runs on the core that the configuration names",)


def test_all_cores_named_and_one_stage_left_over():
    named = {"ingest": {"core": 0}, "book": {"core": 1}}
    made = plan.make(config(stages=named), host(2))
    assert {made.stage(name).core for name in ("risk", "publisher")} <= {0, 1}
    assert made.stage("risk").wait == "park"


def test_a_core_that_does_not_exist_is_refused_by_path():
    with pytest.raises(ConfigError) as refused:
        plan.make(config(stages={"book": {"core": 9}, "risk": {"core": -1}}), host(2))
    assert refused.value.problems == [
        "stages.book.core: there is no core 9 for this process; it may use 0, 1",
        "stages.risk.core: there is no core -1 for this process; it may use 0, 1",
    ]


def test_a_wait_that_is_named_is_kept():
    named = {"ingest": {"wait": "spin"}, "book": {"wait": "yield"}, "risk": {"wait": "backoff"}}
    waits = [stage.wait for stage in plan.make(config(stages=named), host(1)).stages]
    assert waits == ["spin", "yield", "backoff", "park"]


def test_one_process_waits_in_one_way():
    named = {"book": {"wait": "spin"}, "risk": {"wait": "yield"}}
    with pytest.raises(ConfigError, match=r"in two ways \(book spin, risk yield\); give it one"):
        plan.make(config(stages=named, processes=[["book", "risk"]]), host(2))


def test_who_takes_in_from_outside_cannot_sleep_on_a_ring():
    with pytest.raises(ConfigError, match=r"stages\.ingest\.wait: .* use 'backoff'"):
        plan.make(config(stages={"ingest": {"wait": "park"}}), host(2))
    named = {"book": {"wait": "park"}}
    with pytest.raises(ConfigError, match=r"stages\.ingest\.wait: .* use 'backoff'"):
        plan.make(config(stages=named, processes=[["ingest", "book"]]), host(2))


def test_readers_sleep_drop_and_come_after_others_as_configured():
    manners = {"risk": {"wait": "park", "after": {"book": "publisher"}},
               "publisher": {"lag": {"risk": "drop"}}}  # fmt: skip
    made = plan.make(config(stages=manners), host(4))
    seats = {part.name: part.readers for part in made.segments_of("ring")}
    assert seats["book"] == (
        Seat("publisher", Policy.GATE, "", False),
        Seat("risk", Policy.GATE, "publisher", True),
    )
    assert seats["risk"] == (Seat("publisher", Policy.DROP, "", False),)


def test_nobody_comes_after_a_stage_that_is_not_there():
    manners = {"risk": {"after": {"book": "publisher"}}}
    with pytest.raises(ConfigError, match=r"stages\.risk\.after\.book: there is no publisher"):
        plan.make(config(stages=manners, publisher={}), host(4))


def test_stages_that_share_a_process_share_its_core():
    made = plan.make(config(processes=[["ingest", "book"], ["publisher", "risk"]]), host(4))
    assert [[stage.name for stage in process] for process in made.processes] == [
        ["ingest", "book"],
        ["risk", "publisher"],
    ]
    assert [stage.core for stage in made.stages] == [0, 0, 1, 1]
    together = plan.make(config(processes=[[*STAGES]]), host(2))
    assert len(together.processes) == 1
    assert {stage.core for stage in together.stages} == {0}


def test_stages_of_one_process_cannot_have_two_cores():
    named = {"ingest": {"core": 0}, "book": {"core": 1}}
    with pytest.raises(ConfigError, match=r"ingest, book share a process .* \[0, 1\]; give them"):
        plan.make(config(stages=named, processes=[["ingest", "book"]]), host(2))


def test_only_the_stages_that_have_work_are_there():
    bare = plan.make(config(risk={}, publisher={}), host(2))
    assert [stage.name for stage in bare.stages] == ["ingest", "book"]
    assert [(part.kind, part.name, readers(part)) for part in bare.segments] == [
        ("ring", "events", ("book",)),
        ("ring", "book", ()),
        ("board", "instruments", ()),
        ("board", "depth", ()),
        ("panel", "ingest", ()),
        ("panel", "book", ()),
    ]
    unheard = plan.make(config(publisher={}), host(2))
    assert readers(unheard.segments_of("ring")[1]) == ("risk",)
    assert readers(unheard.segments_of("ring")[2]) == ()


def test_rings_are_as_large_as_asked_and_gated_by_all_who_read_them():
    made = plan.make(config(rings={"events": 128, "book": 256, "risk": 512}), host(2), ("book",))
    rings = {part.name: (part.capacity, readers(part)) for part in made.segments_of("ring")}
    assert rings == {
        "events": (128, ("book",)),
        "book": (256, ("risk", "publisher", TAP)),
        "risk": (512, ("publisher",)),
    }


def test_boards_have_a_row_for_each_instrument_and_portfolio():
    made = plan.make(config(ingest={"instruments": 7}), host(2))
    rows = {part.name: part.capacity for part in made.segments_of("board")}
    assert rows == {"instruments": 7, "depth": 7, "portfolios": 1, "positions": 1}


def test_what_is_asked_of_the_memory_is_said():
    made = plan.make(config(memory={"huge_pages": True, "lock": True}), host(4))
    assert made.notes[-1] == "memory: huge pages and locked, where the host grants it"


def test_only_the_publisher_may_start_again():
    restart = {stage.name: stage.restart for stage in plan.make(config(), host(2)).stages}
    assert restart == {"ingest": False, "book": False, "risk": False, "publisher": True}
    never = plan.make(config(stages={"publisher": {"restart": "never"}}), host(2))
    assert not never.stage("publisher").restart


def test_a_stage_that_is_not_there_is_refused():
    made = plan.make(config(risk={}), host(2))
    assert check_stages(made, ("book", "ingest")) == ["book", "ingest"]
    with pytest.raises(ConfigError, match="no stage 'risk' in this pipeline; it has ingest, book"):
        check_stages(made, ("risk",))


@given(
    cores=st.integers(1, 64),
    threads=st.sampled_from([1, 2]),
    nodes=st.sampled_from([1, 2]),
    processes=st.sampled_from([[], [["ingest", "book"]], [[*STAGES]], [["book", "publisher"]]]),
)
def test_a_plan_is_a_pure_function_and_every_stage_has_a_core(cores, threads, nodes, processes):
    there = host(cores, threads, min(nodes, cores))
    before = memory.names()
    made = plan.make(config(processes=processes), there)
    assert made == plan.make(config(processes=processes), host(cores, threads, min(nodes, cores)))
    assert memory.names() == before
    assert all(stage.core in there.allowed for stage in made.stages)
    assert all(stage.node == there.core(stage.core).node for stage in made.stages)
    for stage in made.stages:
        others = [s for s in made.stages if s.process != stage.process and s.core == stage.core]
        group = [s.name for s in made.stages if s.process == stage.process]
        asleep = "backoff" if "ingest" in group else "park"
        assert stage.wait == (asleep if others else "spin")
        assert stage.alone == (not others)
    assert len({stage.core for stage in made.stages}) == min(len(made.processes), cores * threads)
