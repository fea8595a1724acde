"""CPython's own test.test_ftplib, with every server it starts behind a tunnel of the broker.

Arguments: broker-ctl, the broker's socket, the SSH server to go through. Fails unless every test passes but the one that
cannot, and that one must fail.

Left out are the classes that speak TLS (TestTLS_*). Where the broker refuses AUTH they cannot begin, and where it lets
AUTH pass it no longer sees the addresses of the data connections, which then go directly from client to server: such a
test would prove nothing. What AUTH does is tested with real clients instead.
"""

import ftplib
import json
import subprocess
import sys
import unittest

from test import test_ftplib

# It asserts that the client is told the address that the server has sent. That it is told another is the broker's job.
INHERENT_FAILURE = "test_makepasv_issue43285_security_disabled"

# All but the TLS classes were 52 in Python 3.11; far fewer means that the wrong tests were picked.
EXPECTED_AT_LEAST = 45

CTL, SOCKET, TARGET = sys.argv[1:]


def ctl(*arguments):
    command = [CTL, "--socket", SOCKET, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=30).stdout


class Tunnel:
    """An FTP tunnel to a server on this host, on a free port of the same address."""

    def __init__(self, host, port):
        host = f"[{host}]" if ":" in host else host
        spec = f"ftp/{host}:0:{host}:{port}"
        opened = json.loads(ctl("open-tunnel-listener", "--json", "-L", spec, TARGET))
        self.id = str(opened["id"])
        self.port = opened["port"]

    def close(self):
        ctl("close-tunnel-listener", self.id)


class TunnelledServer(test_ftplib.DummyFTPServer):
    """Looks to the client as if it listened where its tunnel does."""

    def start(self):
        super().start()
        self.tunnel = Tunnel(self.host, self.port)
        self.port = self.tunnel.port

    def stop(self):
        super().stop()
        self.tunnel.close()


class TunnelledTimeouts(test_ftplib.TestTimeouts):
    """These tests bring a server of their own, and tell the client its port in this odd way."""

    def setUp(self):
        super().setUp()
        self.tunnel = Tunnel("127.0.0.1", self.port)
        ftplib.FTP.port = self.tunnel.port

    def tearDown(self):
        super().tearDown()
        self.tunnel.close()


def main():
    test_ftplib.DummyFTPServer = TunnelledServer
    test_ftplib.TestTimeouts = TunnelledTimeouts
    plain = test_ftplib.TestFTPClass
    setattr(plain, INHERENT_FAILURE, unittest.expectedFailure(getattr(plain, INHERENT_FAILURE)))
    for name in [name for name in vars(test_ftplib) if name.startswith("TestTLS_")]:
        delattr(test_ftplib, name)

    tests = unittest.defaultTestLoader.loadTestsFromModule(test_ftplib)
    result = unittest.TextTestRunner(verbosity=2).run(tests)
    if result.skipped:
        sys.exit(f"skipped, though nothing should be missing: {result.skipped}")
    if result.testsRun < EXPECTED_AT_LEAST:
        sys.exit(f"only {result.testsRun} tests ran")
    # Not successful either is a test that was expected to fail and has not.
    sys.exit(0 if result.wasSuccessful() else 1)


if __name__ == "__main__":
    main()
