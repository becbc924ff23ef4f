#!/usr/bin/env bash
# Fresh seeds, and bugs on purpose that few seeds notice. Seeds follow TEST_SEED, which ./dev test draws from the tree.
# Each hundredth seed is run twice, and both runs must tell the same story; every required probe must have been reached.
# AddressSanitizer takes ten times as long for a seed, and looks for what each seed shows: fewer of three brokers, and no list of probes.
set -uo pipefail

sim=$1
what=$2
run() {
  if "$sim" "$@"; then echo "ok $what"; else echo "not ok $what"; exit 1; fi
}
case "$what" in
  alone) run --seeds 720 --twice 100 --probes ;;
  three)
    if grep -q __asan_init "$sim"; then run --seeds 200 --nodes 3 --twice 100 --jobs 2
    else run --seeds 1200 --nodes 3 --twice 100 --probes --jobs 2
    fi
    ;;
  five) run --seeds 80 --nodes 5 --twice 40 ;;
  controller)
    # Admins at work while the controller fails; and some of the deaths in the middle of one reassignment: ./dev sim --points has all.
    if grep -q __asan_init "$sim"; then run --controller --seeds 20 && run --points --every 300
    else run --controller --seeds 100 --twice 50 --probes && run --points --every 40
    fi
    ;;
  mutants)
    # Those that the first dozens of seeds notice; raft_mutant_test has the protocol's besides, ./dev sim --mutants hunts for all.
    quick=ack_before_write,ack_without_sync,read_beyond_commit,write_failure_ignored,recycle_before_checkpoint,segment_not_synced,segment_name_not_synced
    quick+=,tables_not_committed,offset_reused,waiter_dropped,expected_offset_ignored,answered_too_early,tail_skips,trim_too_far
    quick+=,unknown_sent_again,deletion_forgotten,change_not_told,voters_go_first,replica_kept,racks_ignored
    quick+=,ACK_NOT_DURABLE,COMMIT_UNCAPPED,CONFLICT_KEPT,READ_BEFORE_NOOP,SNAPSHOT_EARLY_ACK
    run --mutants --only "$quick" --seeds 80
    ;;
  *)
    echo "usage: sim_test.sh SIM alone|three|five|controller|mutants" >&2
    exit 2
    ;;
esac
