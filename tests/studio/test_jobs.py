"""The queues: bounded, in order, and with work that can be called off."""

from __future__ import annotations

import tempfile
import threading

import pytest
import torch

from kaogan.core.errors import KaoganError
from kaogan.studio import tasks
from kaogan.studio.jobs import MAX_FINISHED, BusyError, Job, JobQueue, Jobs, StoppedError


def wait_for(job):
    for _ in range(500):
        if job.state not in ("waiting", "running"):
            return
        threading.Event().wait(0.01)
    raise AssertionError(job.state)


def test_a_full_queue_says_so_and_empties_again():
    queue, gate, seen = JobQueue("pictures", waiting=2), threading.Event(), []
    futures = [queue.submit(lambda number=number: (gate.wait(10), seen.append(number))) for number in range(3)]
    with pytest.raises(BusyError, match="busy"):
        queue.submit(lambda: None)
    assert futures[2].cancel()
    gate.set()
    futures[1].result(10)
    assert seen == [0, 1], "what was taken out of the queue was not worked on"
    assert queue.submit(lambda: 7).result(10) == 7
    queue.close()


def test_jobs_report_finish_fail_and_stop(capsys):
    jobs, going = Jobs(JobQueue("long work", 3)), threading.Event()

    def endless(job):
        for step in range(10**9):
            job.report(step, 10**9, "steps")
            going.set()

    running = jobs.start(endless)
    waiting = jobs.start(lambda job: None)
    assert going.wait(10) and jobs.cancel(waiting.id).state == "cancelled"
    jobs.cancel(running.id)
    wait_for(running)
    assert running.state == "cancelled" and running.what == "steps"

    def failing(job):
        raise KaoganError("the disk is full")

    failed, broken = jobs.start(failing), jobs.start(lambda job: 1 / 0)
    wait_for(broken)
    assert (failed.state, failed.error) == ("failed", "the disk is full")
    assert "inside of kaogan" in broken.error and "ZeroDivisionError" in capsys.readouterr().err

    def large(job):
        raise torch.OutOfMemoryError("CUDA out of memory")

    wait_for(full := jobs.start(large))
    assert (full.state, full.error) == ("failed", "out of memory; ask for less")
    jobs.close()


def test_work_that_did_not_hear_of_its_end_is_cancelled_all_the_same():
    jobs, gate = Jobs(JobQueue("long work", 1)), threading.Event()
    deaf = jobs.start(lambda job: gate.wait(10))
    jobs.cancel(deaf.id)
    gate.set()
    wait_for(deaf)
    assert deaf.state == "cancelled"
    jobs.close()


def test_a_page_hears_of_its_end(tmp_path, monkeypatch):
    def export_web(path, place, *, single_file, progress):
        job.cancelled = True
        progress(0, 0, "writing the page")

    monkeypatch.setattr("kaogan.share.export.export_web", export_web)
    job = Job("a", tmp_path)
    with pytest.raises(StoppedError):
        tasks.page(tmp_path, "mine")(job)
    assert not job.files


def test_files_of_old_jobs_are_forgotten():
    jobs = Jobs(JobQueue("long work", 1))

    def write(job):
        job.files["a"] = job.folder / "a"
        job.files["a"].write_text("a")

    made = []
    for _ in range(MAX_FINISHED + 3):
        made.append(jobs.start(write))
        wait_for(made[-1])
    with pytest.raises(KaoganError, match="no longer kept"):
        jobs.get(made[0].id)
    assert not made[0].folder.exists() and jobs.get(made[-1].id).files["a"].read_text() == "a"
    jobs.close()
    assert not made[-1].folder.exists()


def test_folders_of_killed_studios_are_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("kaogan.studio.jobs.JUST_MADE", -1)
    (tmp_path / "kaogan-studio-foreign").mkdir()  # no lock: nobody knows whose it is
    killed = tmp_path / "kaogan-studio-killed"
    killed.mkdir()
    (killed / ".lock").touch()
    (killed / "film.mp4").touch()
    lives = Jobs(JobQueue("long work", 3))
    assert not killed.exists() and (tmp_path / "kaogan-studio-foreign").exists()
    other = Jobs(JobQueue("long work", 3))
    assert len(list(tmp_path.iterdir())) == 3, "the living one keeps its folder"
    lives.close()
    other.close()
    assert [path.name for path in tmp_path.iterdir()] == ["kaogan-studio-foreign"]
