"""What is said, and when, where most of the brokers are down: nobody leads the map then, and the brokers that are left know it."""

import signal
import subprocess

import cluster
import harness
from admin_case import AdminCase

LEADERLESS = "why: nobody is known to lead the map of the cluster just now: most of the brokers that vote on it must be up."
COMMANDS = [
    ("topic", "list"),
    ("topic", "create", "another"),
    ("topic", "delete", "t"),
    ("broker", "drain", "3"),
    ("cluster", "work"),
    ("cluster", "rebalance"),
    ("partition", "move", "t", "0", "--to", "1,2"),
]


class NoMajorityTest(AdminCase):
    def setUp(self):
        super().setUp()
        self.call("create_topic", name="t", partitions=1, replicas=3)

    def leave_one(self):
        for broker in self.cluster.brokers[:2]:
            broker.kill()
        self.wait_for("3 hears nobody", lambda: self.run_from_three("cluster", "health", "--timeout", "5s").returncode == 6)

    def run_from_three(self, *words):
        return subprocess.run(
            [harness.CAIRN, "--server", self.cluster.addresses[2], *words], capture_output=True, text=True, timeout=self.patience_s
        )

    def test_who_asks_is_told_that_nobody_leads_not_that_others_are_down(self):
        self.leave_one()
        for words in COMMANDS:
            error = self.run_cairn(*words, "--timeout", "3s", code=6)
            self.assertIn("error[NOT_LEADER]", error)
            self.assertIn(LEADERLESS, error)
            self.assertRegex(error, r"(?m)^try: cairn .*cluster status$")
            self.assertIn(LEADERLESS, self.run_from_three(*words, "--timeout", "1s").stderr)

        for broker in self.cluster.brokers[:2]:
            broker.start()
        self.wait_all_up()
        self.run_cairn("topic", "delete", "t")

    def test_ctrl_c_does_not_wait_for_a_leader(self):
        self.leave_one()
        for words in (*COMMANDS, ("broker", "drain", "3", "--wait"), ("cluster", "work", "--wait")):
            process = self.begin(*words, "--timeout", "10m")
            with self.assertRaises(subprocess.TimeoutExpired):
                process.wait(0.5)
            process.send_signal(signal.SIGINT)
            said, error = process.communicate(timeout=30)
            self.assertEqual((process.returncode, said), (130, b""), error)
            self.assertIn(b"error[INTERRUPTED]", error)

    def test_who_does_not_lead_says_who_does(self):
        led = self.call("describe_cluster").controller_id
        other = next(number for number in (1, 2, 3) if number != led)
        answer, failure = cluster.Follower([self.cluster.addresses[other - 1]]).once("list_moves", timeout=5)
        self.assertIsNone(answer)
        self.assertIn("this broker does not lead the map of the cluster: broker %d at %s does" % (led, self.cluster.addresses[led - 1]), str(failure))


if __name__ == "__main__":
    harness.main()
