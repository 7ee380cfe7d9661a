"""Two multicast lines on the loopback of a network namespace: run inside one that was just made.

unshare --net --map-root-user python -m tests.workers.groups
"""

import json
import subprocess
import sys

from tests.naive import itch
from tests.senders import Sender
from tests.workers.live_mold import hear, plan, without_positions
from tests.workers.test_itch import plain_messages

GROUPS = [("239.1.1.1", 26_400), ("239.1.1.2", 26_400)]
SETUP = (
    "ip link set lo up",
    "ip link set lo multicast on",
    "ip route add 239.0.0.0/8 dev lo",
)


def main() -> None:
    """Send to both groups, with losses and a server; print what came of it."""
    for command in SETUP:
        subprocess.run(command.split(), check=True)
    sender = Sender()
    some = plain_messages(3, 400)
    packets, _ = plan(some, 3, loss=0.2, swap=4)
    heard = hear(sender, GROUPS, some, packets, {}, interface="lo", timeout_ms=10.0)
    sender.close()
    found = without_positions(heard.events)
    wanted = itch.events(some)[0]
    told = {"groups": len(found), "expected": len(wanted), "whole": found == wanted}
    json.dump({**told, "lines": heard.feed.lines}, sys.stdout)


if __name__ == "__main__":
    main()
