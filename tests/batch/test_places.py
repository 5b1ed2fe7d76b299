"""Jobs by address: the same rules as for paths, over what fsspec opens."""

from pathlib import Path
from typing import ClassVar

import pytest

from hfmoe.batch.settings import Naming, PlanError, Selection

fsspec = pytest.importorskip("fsspec")

from hfmoe.batch.planning import Job, plan_jobs  # noqa: E402
from hfmoe.batch.stores import deliver, fetch, open_place  # noqa: E402

NAMING = Naming("-x2")


@pytest.fixture
def store():
    """A store in this process's memory, empty again afterwards."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


def plan(inputs: list[str], output: str | None = None, selection: Selection | None = None) -> list[Job]:
    return plan_jobs(inputs, output, naming=NAMING, selection=selection or Selection())


def pairs(jobs: list[Job]) -> list[tuple[str, str]]:
    return [(str(job.source), str(job.target)) for job in jobs]


def test_a_folder_of_a_store_keeps_its_tree(store):
    for name in ("a.jpg", "sub/b.png", "sub/.hidden.png", "notes.txt"):
        store.pipe_file(f"/photos/{name}", b"x")
    assert pairs(plan(["memory://photos"])) == [
        ("memory://photos/a.jpg", "memory://photos-x2/a-x2.png"),
        ("memory://photos/sub/b.png", "memory://photos-x2/sub/b-x2.png"),
    ]
    only = plan(["memory://photos"], "memory://out", Selection(["*.jpg"]))
    assert [job.target for job in only] == ["memory://out/a-x2.png"]
    flat = plan(["memory://photos"], "memory://out", Selection(recursive=False))
    assert [job.target for job in flat] == ["memory://out/a-x2.png"]


class Hosted(fsspec.get_filesystem_class("memory")):
    """A store whose addresses name a host, as ftp, sftp and hdfs have it: paths within it do not."""

    protocol = "hosted"
    store: ClassVar[dict] = {}

    def __init__(self, host: str, **options) -> None:
        super().__init__(**options)
        self.host = host

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        rest = path.removeprefix("hosted://")
        inside = path if rest == path else rest.partition("/")[2]
        return f"/{inside.strip('/')}" if inside.strip("/") else ""

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, str]:
        return {"host": path.removeprefix("hosted://").partition("/")[0]}


@pytest.mark.parametrize("given", ["hosted://me@here:21/photos", "hosted://me@here:21/photos/*/b.png"])
def test_addresses_keep_their_host(given: str):
    fsspec.register_implementation("hosted", Hosted, clobber=True)
    Hosted("me@here:21").pipe_file("/photos/sub/b.png", b"x")
    assert pairs(plan([given], "memory://out")) == [
        ("hosted://me@here:21/photos/sub/b.png", "memory://out/sub/b-x2.png")
    ]
    alone = plan(["hosted://me@here:21/photos/sub/b.png"])
    assert pairs(alone) == [
        ("hosted://me@here:21/photos/sub/b.png", "hosted://me@here:21/photos/sub/b-x2.png")
    ]
    assert open_place(str(alone[0].source))[0].host == "me@here:21"


def test_patterns_at_the_root_of_a_store_stay_addresses(store):
    for name in ("IMG_1.jpg", "img_1.png"):
        store.pipe_file(f"/{name}", b"x")
    found = pairs(plan(["memory://*.*"], "memory://"))
    assert found == [
        ("memory://IMG_1.jpg", "memory://IMG_1.jpg-x2.png"),
        ("memory://img_1.png", "memory://img_1.png-x2.png"),
    ]


def test_results_below_their_sources_are_no_sources(store):
    for name in ("a.png", "large/a-x2.png"):
        store.pipe_file(f"/photos/{name}", b"x")
    assert pairs(plan(["memory://photos"], "memory:///photos/large")) == [
        ("memory://photos/a.png", "memory:///photos/large/a-x2.png")
    ]


@pytest.mark.parametrize("output", ["memory://photos", "memory:///photos", "memory:///photos/"])
def test_no_spelling_of_an_address_lets_a_result_replace_its_source(store, output: str):
    store.pipe_file("/photos/a.png", b"x")
    same = Naming("-x2", pattern="{stem}{suffix}")
    with pytest.raises(PlanError, match="is an input"):
        plan_jobs(["memory://photos"], output, naming=same, selection=Selection())


def test_patterns_and_files_of_a_store(store):
    for name in ("a.jpg", "a.png", "b.jpg"):
        store.pipe_file(f"/photos/{name}", b"x")
    globbed = plan(["memory://photos/*.jpg"], "memory://out")
    assert [job.target for job in globbed] == ["memory://out/a-x2.png", "memory://out/b-x2.png"]
    assert plan(["memory://photos/b.jpg"], "memory://out/c.webp")[0].target == "memory://out/c.webp"
    both = plan(["memory://photos/a.jpg", "memory://photos/a.png"], "memory://out")
    assert [job.target for job in both] == ["memory://out/a.jpg-x2.png", "memory://out/a.png-x2.png"]


def test_local_files_go_to_a_store_and_back(store, tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert pairs(plan([str(tmp_path)], "memory://out")) == [(f"{tmp_path}/a.jpg", "memory://out/a-x2.png")]
    store.pipe_file("/photos/b.jpg", b"x")
    back = plan(["memory://photos"], str(tmp_path / "back"))
    assert back[0].target == tmp_path / "back/b-x2.png"


def test_a_file_address_is_a_path_with_a_manifest(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jpg").write_bytes(b"x")
    (job,) = plan([f"file://{tmp_path}/in"])
    assert job == Job(tmp_path / "in/a.jpg", tmp_path / "in-x2/a-x2.png", tmp_path / "in-x2")


def test_what_cannot_be_is_refused_before_any_work(store):
    store.pipe_file("/photos/a.png", b"x")
    store.pipe_file("/empty/notes.txt", b"x")
    with pytest.raises(PlanError, match="memory://none: no such file or folder"):
        plan(["memory://none"])
    with pytest.raises(PlanError, match="memory://empty holds no images"):
        plan(["memory://empty"])
    with pytest.raises(PlanError, match="nosuch://a"):
        plan(["nosuch://a"])
    with pytest.raises(PlanError, match="is named like a file"):
        plan(["memory://photos"], "memory://out.png")
    with pytest.raises(PlanError, match="is an input"):
        plan(["memory:///photos/a.png"], "memory:///photos/a.png")
    store.pipe_file("/other/a.png", b"x")
    with pytest.raises(PlanError, match="several inputs would be written to"):
        plan(["memory://photos", "memory://other"], "memory://out")


def test_a_file_is_brought_over_whole(store, tmp_path: Path):
    store.pipe_file("/photos/a.png", b"content")
    copy = fetch("memory://photos/a.png", tmp_path)
    assert copy.read_bytes() == b"content"
    deliver(copy, "memory://out/sub/b.png")
    assert store.find("/out") == ["/out/sub/b.png"]
    assert store.cat_file("/out/sub/b.png") == b"content"
