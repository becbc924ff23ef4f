"""Machines that are network namespaces, on one bridge: links between them can be cut, one way or both, and slowed down.

The test runs in a network and a mount namespace of its own (enter()), so nothing is left behind, whatever happens, and two tests do not
know of each other.
"""

import os
import subprocess
import sys

INSIDE = "NEMESIS_INSIDE"


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError("%s: %s" % (" ".join(command), done.stderr.strip()))


def enter():
    """Starts this program again, as root, in namespaces of its own."""
    if os.environ.get(INSIDE):
        return
    if os.geteuid() != 0:
        sys.exit("network namespaces want root")
    os.environ[INSIDE] = "yes"
    os.execvp("unshare", ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, *sys.argv])


made = {}


def machines(count):
    """The machines of this process: a network namespace has one bridge."""
    if count not in made:
        made[count] = Machines(count)
    return made[count]


class Machines:
    """`count` machines, 10.77.0.1 and on; this process is on the bridge and reaches all."""

    def __init__(self, count):
        self.count = count
        run("mount", "-t", "tmpfs", "tmpfs", "/run")
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "bridge", "type", "bridge")
        run("ip", "addr", "add", "10.77.0.100/24", "dev", "bridge")
        run("ip", "link", "set", "bridge", "up")
        for i in range(count):
            name = self.name(i)
            run("ip", "netns", "add", name)
            run("ip", "link", "add", "to-" + name, "type", "veth", "peer", "name", "eth", "netns", name)
            run("ip", "link", "set", "to-" + name, "master", "bridge", "up")
            self.inside(i, "ip", "addr", "add", self.address(i) + "/24", "dev", "eth")
            self.inside(i, "ip", "link", "set", "eth", "up")
            self.inside(i, "ip", "link", "set", "lo", "up")

    def name(self, i):
        return "m%d" % (i + 1)

    def address(self, i):
        return "10.77.0.%d" % (i + 1)

    def prefix(self, i):
        return ("ip", "netns", "exec", self.name(i))

    def hosts(self):
        return [(self.address(i), self.prefix(i)) for i in range(self.count)]

    def inside(self, i, *command):
        run(*self.prefix(i), *command)

    def drop(self, source, target):
        """Nothing that `source` sends reaches `target`."""
        self.inside(target, "iptables", "-A", "INPUT", "-s", self.address(source), "-j", "DROP")

    def cut(self, one, other):
        self.drop(one, other)
        self.drop(other, one)

    def isolate(self, victim):
        """From all other machines; whoever tests still reaches it."""
        for other in range(self.count):
            if other != victim:
                self.cut(victim, other)

    def deafen(self, victim):
        """Hears no other machine, and is heard."""
        for other in range(self.count):
            if other != victim:
                self.drop(other, victim)

    def mute(self, victim):
        """Hears all, and nobody hears it."""
        for other in range(self.count):
            if other != victim:
                self.drop(victim, other)

    def slow(self, victim, rate):
        """What it sends goes at this rate, `1mbit`."""
        self.inside(victim, "tc", "qdisc", "replace", "dev", "eth", "root", "tbf", "rate", rate, "burst", "32kbit", "latency", "400ms")

    def heal(self):
        for i in range(self.count):
            self.inside(i, "iptables", "-F", "INPUT")
            subprocess.run([*self.prefix(i), "tc", "qdisc", "del", "dev", "eth", "root"], capture_output=True)
