#!/usr/bin/env bash
# As many fresh seeds as fit, and bugs on purpose that few seeds notice. Seeds follow TEST_SEED, which ./dev test draws from the tree.
set -uo pipefail

sim=$1
what=$2
case "$what" in
  seeds)
    # Each twentieth seed is run twice, and both runs must tell the same story; every required probe must have been reached.
    if "$sim" --seconds 75 --twice 20 --probes; then echo "ok seeds"; else echo "not ok seeds"; exit 1; fi
    ;;
  nodes)
    # Clusters of three.
    if "$sim" --seconds 45 --nodes 3 --twice 20; then echo "ok nodes"; else echo "not ok nodes"; exit 1; fi
    ;;
  mutants)
    # Those that the first dozens of seeds notice; ./dev sim --mutants hunts for all.
    quick=ack_before_write,ack_without_sync,read_beyond_commit,write_failure_ignored,recycle_before_checkpoint,segment_not_synced,segment_name_not_synced
    quick+=,tables_not_committed,offset_reused,waiter_dropped,expected_offset_ignored,tail_skips,trim_too_far,session_goes_on
    quick+=,unknown_sent_again,deletion_forgotten
    if "$sim" --mutants --only "$quick" --seeds 150; then echo "ok mutants"; else echo "not ok mutants"; exit 1; fi
    ;;
  *)
    echo "usage: sim_test.sh SIM seeds|nodes|mutants" >&2
    exit 2
    ;;
esac
