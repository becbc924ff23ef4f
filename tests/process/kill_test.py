"""kill -9 under load, again and again, on one directory.

TEST_ROUNDS sets the number of rounds (in the suite 12; before a release 100), TEST_SEED the seed.
"""

import os
import random
import statistics
import time

import harness
import load

ROUNDS = int(os.environ.get("TEST_ROUNDS", "12"))
SEED = int(os.environ.get("TEST_SEED", "1"))
PARTITIONS = 8


class KillTest(harness.Case):
    def test_nothing_acknowledged_is_lost_by_kill_9(self):
        chance = random.Random(SEED)
        # A small ring, so that every round goes through checkpoints and recycled files.
        options = ["--journal-bytes", "32MiB", "--journal-file-bytes", "4MiB"]
        broker = harness.Broker(options=options).start()
        self.addCleanup(broker.close)
        with harness.Client(broker.address) as client:
            client.create_topic(name="t", partitions=PARTITIONS)
        histories = [load.History("t", p) for p in range(PARTITIONS)]
        recoveries, found = [], 0
        for round_number in range(ROUNDS):
            appenders = [
                load.Appender(broker.address, "t", p, round_number, chance.random()) for p in range(PARTITIONS)
            ]
            for appender in appenders:
                appender.start()
            time.sleep(chance.uniform(0.1, 1.0))
            broker.kill()
            for appender in appenders:
                appender.join()
            broker.start()
            recoveries.append(broker.start_ms)
            with harness.Client(broker.address) as client:
                found += load.check_all(histories, appenders, client)
        acknowledged = sum(h.acknowledged_records for h in histories)
        self.assertGreater(acknowledged, ROUNDS * PARTITIONS)
        self.show(
            "seed %d: %d rounds of kill -9, %d records acknowledged, %d found, 0 lost, 0 duplicated, 0 reordered; "
            "ready after %.0f ms (median), %.0f ms (worst)"
            % (SEED, ROUNDS, acknowledged, found, statistics.median(recoveries), max(recoveries))
        )


if __name__ == "__main__":
    harness.main()
