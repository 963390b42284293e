"""A headless Chromium that sees a migration's page as an operator does who forwarded the socket."""

from contextlib import contextmanager

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.lab.process import Process, free_ports, wait_until


@contextmanager
def forwarded(socket, log):
    """`ssh -L PORT:SOCKET` without ssh: gives the port."""
    port, = free_ports(1)
    forward = Process("socat", ["socat", f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr",
                                f"UNIX-CONNECT:{socket}"], log)
    wait_until(lambda: _listens(port), "socat to listen", alive=forward)
    try:
        yield port
    finally:
        forward.stop()


def _listens(port):
    with open("/proc/net/tcp", encoding="ascii") as lines:
        return any(f":{port:04X} 00000000:0000 0A" in line for line in lines)


@contextmanager
def chromium(width=1200, height=1500, dark=False):
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     f"--window-size={width},{height}"):
        options.add_argument(argument)
    if dark:
        options.add_argument("--force-dark-mode")
        options.add_argument("--blink-settings=preferredColorScheme=0")
    browser = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
    try:
        yield browser
    finally:
        browser.quit()
