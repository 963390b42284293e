"""The page in a real browser, and `top` in a real terminal (issue O, part 4)."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.integration.conftest import is_long
from tests.lab.lockstep import BINARY
from tests.lab.process import wait_until

pytestmark = pytest.mark.skipif(not is_long(), reason="needs Chromium and tmux; ./run test --long")

# Screenshots, to be looked at; kept nowhere unless somebody says where.
SHOTS = os.environ.get("LOCKSTEP_SCREENSHOTS")


def shoot(browser, name):
    if SHOTS:
        browser.save_screenshot(str(Path(SHOTS) / f"{name}.png"))


def text(browser, name):
    return browser.find_element("id", name).text


def cells(browser, table):
    """The texts of a table's row on the page; at once, since each look of the page makes rows anew."""
    return browser.execute_script("""
        for (const row of document.querySelectorAll("#tables tr")) {
          const texts = [...row.children].map(cell => cell.textContent);
          if (texts[0] === arguments[0]) return texts;
        }
        return null;""", table)


@pytest.fixture
def opened(direct, tmp_path):
    """A migration that follows, and its page in a browser."""
    from tests.lab.browser import chromium, forwarded  # pylint: disable=import-outside-toplevel

    migration = direct(reconcile={"every": "1s"})
    migration.prepare()
    with migration.running() as lockstep, \
            forwarded(lockstep.state / "control.sock", tmp_path / "socat.log") as port, \
            chromium() as browser:
        lockstep.await_follow()
        browser.get(f"http://localhost:{port}/")
        wait_until(lambda: "well" in text(browser, "mood"), "the page to say that all is well")
        yield migration, browser, port


def test_the_page_says_what_status_says(opened):
    migration, browser, _ = opened
    status = migration.lockstep.status()
    assert text(browser, "migration") == migration.name
    assert text(browser, "phase") == status["phase"]
    assert "is on the target" in text(browser, "sentence")
    row = cells(browser, "public.t")
    assert "following" in row[1] and row[2].endswith("100 %")
    assert row[3].startswith("3,000 / ~3,000, ~")  # And about as many bytes.
    assert "exact" in text(browser, "rest")
    shoot(browser, "well")
    # No request leaves the page's own server, and nothing in it is an error.
    names = browser.execute_script(
        "return performance.getEntriesByType('resource').map(each => new URL(each.name).host)")
    assert names and set(names) == {f"localhost:{opened[2]}"}, set(names)
    assert not [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]


def test_a_stopped_table_is_seen(opened):
    migration, browser, _ = opened
    migration.target("ALTER TABLE t DROP COLUMN v")
    migration.source("UPDATE t SET v = 'x' WHERE id = 1")
    migration.lockstep.await_status(
        lambda status: status["tables"][0]["state"] == "stopped", "t to stop")
    wait_until(lambda: "stopped" in (cells(browser, "public.t") or ["", ""])[1], "the page to see",
               timeout=2)
    assert "trouble" in text(browser, "mood") and "public.t" in text(browser, "sentence")
    shoot(browser, "stopped")


def test_pause_and_resume_from_the_page(opened):
    migration, browser, _ = opened
    lockstep = migration.lockstep
    browser.find_element("id", "pause").click()
    browser.find_element("css selector", "#scope option[value=apply]").click()
    browser.find_element("id", "reason").send_keys("release 17")
    shoot(browser, "pause")
    browser.find_element("id", "yes").click()
    held = lockstep.await_status(lambda status: status["paused"], "apply to be held")["paused"]
    assert held[0]["scope"] == "apply" and held[0]["reason"] == "release 17"
    wait_until(lambda: "held" in text(browser, "mood"), "the page to say so", timeout=5)
    assert "release 17" in text(browser, "sentence")
    shoot(browser, "held")
    # A question that is left changes nothing.
    browser.find_element("id", "resume").click()
    browser.find_element("id", "no").click()
    assert lockstep.status()["paused"]
    browser.find_element("id", "resume").click()
    browser.find_element("id", "yes").click()
    lockstep.await_status(lambda status: not status["paused"], "apply to go on")
    # Abort works, and says so.
    browser.find_element("id", "abort").click()
    browser.find_element("id", "yes").click()
    lockstep.await_status(lambda status: status["phase"] == "aborted", "the abort")
    wait_until(lambda: not browser.find_element("id", "pause").is_enabled(), "pause to be blocked")
    assert "only a resume goes on" in text(browser, "steering")
    assert lockstep.verb("resume").returncode == 0
    lockstep.await_follow()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_daemon_that_is_gone_is_never_well(opened, how):
    """Nor one that keeps its connections and says nothing."""
    migration, browser, _ = opened
    lockstep = migration.lockstep
    lockstep.process.send(how)
    wait_until(lambda: "unknown" in text(browser, "mood"), "the page to say that nobody answers",
               timeout=15)
    assert "has not answered" in text(browser, "sentence")
    shoot(browser, "gone")
    if how == signal.SIGKILL:
        lockstep.wait_exit()
        lockstep.start()
    else:
        lockstep.process.send(signal.SIGCONT)
    lockstep.await_follow()
    wait_until(lambda: "well" in text(browser, "mood"), "the page to see it")


def test_small_and_dark(opened):
    from tests.lab.browser import chromium  # pylint: disable=import-outside-toplevel

    _, browser, port = opened
    browser.set_window_size(375, 900)
    assert browser.execute_script(
        "return document.documentElement.scrollWidth <= window.innerWidth"), "it scrolls sideways"
    shoot(browser, "small")
    with chromium(dark=True) as night:
        night.get(f"http://localhost:{port}/")
        wait_until(lambda: "well" in text(night, "mood"), "the page")
        shoot(night, "dark")


def test_top_in_a_terminal(direct, tmp_path):
    migration = direct()
    migration.prepare()
    terminal = ["tmux", "-S", str(tmp_path / "tmux")]

    def screen():
        return subprocess.run([*terminal, "capture-pane", "-p"], capture_output=True, text=True,
                              check=True).stdout

    with migration.running() as lockstep:
        lockstep.await_follow()
        subprocess.run([*terminal, "new-session", "-d", "-x", "80", "-y", "24",
                        f"{BINARY} top {lockstep.manifest}; echo gone; cat"], check=True)
        try:
            wait_until(lambda: "well: " in screen(), "top to draw")
            shown = screen()
            assert max(len(line) for line in shown.splitlines()) <= 80, shown
            assert "public.t" in shown and "following" in shown, shown
            lockstep.verb("pause", "--scope", "apply", "--reason", "release 17")
            wait_until(lambda: "held: apply is held" in screen(), "top to see the pause")
            lockstep.verb("resume")
            if SHOTS:
                (Path(SHOTS) / "top.txt").write_text(shown)
            subprocess.run([*terminal, "send-keys", "C-c"], check=True)
            wait_until(lambda: "gone" in screen() and "well: " not in screen(),
                       "the terminal to be given back")
        finally:
            subprocess.run([*terminal, "kill-server"], check=False)
    piped = lockstep.verb_begun("top")
    with migration.running(), piped as process:
        assert "copied" in process.stdout.readline()
