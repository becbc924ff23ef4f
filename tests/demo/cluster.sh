#!/usr/bin/env bash
# Three brokers, a topic with three replicas, Debian's package index on its way into it, and kill -9 for the leader in the middle: the
# producer goes on with another one, and every replica has every line, once. Needs CAIRND and CAIRN, the paths of the programs; ./dev
# demo sets them.

set -euo pipefail

: "${CAIRND:?the path of cairnd}" "${CAIRN:?the path of cairn}"
here=$(dirname "$(readlink -f "$0")")
work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-demo.XXXXXX")
cluster=
returned=

finish() {
  local status=$?
  [[ -z $returned ]] || kill "$returned" 2>/dev/null || true
  [[ -z $cluster ]] || kill "$cluster" 2>/dev/null || true
  wait 2>/dev/null || true
  if [[ $status -ne 0 ]]; then
    for log in "$work"/data/*.log; do
      echo "$log:" >&2
      tail -n 10 "$log" >&2 || true
    done
  fi
  rm -rf "$work"
}
trap finish EXIT

step() { printf '\n== %s\n' "$*"; }
show() { printf '   %s\n' "$*"; }
fail() {
  printf 'demo: %s\n' "$*" >&2
  exit 1
}
sum() { sha256sum | cut -d' ' -f1; }
milliseconds() { date +%s%3N; }

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
  local until=$(($(milliseconds) + $1 * 1000))
  shift
  until "$@" >/dev/null 2>&1; do
    [[ $(milliseconds) -lt $until ]] || return 1
    sleep 0.05
  done
}

field() { "$CAIRN" -o json partition describe packages 0 | grep -o "\"$1\": *\"\?[^\",}]*" | sed 's/^[^:]*: *"\?//'; }

step "Three brokers, one cluster"
apt-cache dumpavail >"$work/input"
lines=$(wc -l <"$work/input")
[[ $lines -gt 0 ]] || fail "apt-cache dumpavail is empty: apt-get update"
expected=$(sum <"$work/input")
/usr/bin/python3 "$here/../../tools/cluster/cluster.py" 3 --dir "$work/data" --port 0 --cairnd "$CAIRND" >"$work/addresses" 2>"$work/told" &
cluster=$!
wait_for 60 grep '^cluster: ' "$work/addresses" || fail "the brokers were not ready within 60 s: $(cat "$work/told")"
CAIRN_SERVER=$(sed 's/^cluster: //' "$work/addresses")
export CAIRN_SERVER
IFS=, read -r -a brokers <<<"$CAIRN_SERVER"
show "${brokers[*]}"
"$CAIRN" topic create packages --replicas 3
leader=$(field leader)
show "the leader of its partition: $leader"

step "$lines lines go in; the leader is killed with -9 in the middle"
# What fails in a pipe in the background is seen by what has not come in.
{ "$CAIRN" append packages --file "$work/input" --producer demo --print-offsets 2>"$work/append.err" || true; } |
  /usr/bin/python3 "$here/stamp.py" "$work/acknowledged" >"$work/longest" &
append=$!
lines_acknowledged() { [[ $(stat -c %s "$work/acknowledged" 2>/dev/null || echo 0) -ge $1 ]]; }
wait_for 60 lines_acknowledged 2000000 || fail "nothing is acknowledged: $(cat "$work/append.err")"
victim=$(pgrep -P "$cluster" -f -- "--listen $leader ") || fail "nobody listens on $leader"
tr '\0' '\n' <"/proc/$victim/cmdline" >"$work/command"
kill -9 "$victim"
kept=$(grep -c '^0:[0-9]*$' "$work/acknowledged" || true)
show "killed when $kept records were acknowledged"
[[ $kept -lt $lines ]] || fail "the run was over before the kill; nothing was shown"
wait "$append"
acknowledged=$(grep -c '^0:[0-9]*$' "$work/acknowledged" || true)
[[ $acknowledged -eq $lines ]] || fail "$acknowledged of $lines records were acknowledged: $(cat "$work/append.err")"
show "all $acknowledged are acknowledged now; the leader: $(field leader)"
show "at most $(cat "$work/longest") ms without an acknowledgement: that was the election"

step "Read back from each of the others"
for broker in "${brokers[@]}"; do
  [[ $broker != "$leader" ]] || continue
  actual=$("$CAIRN" --server "$broker" read packages --from start --count "$lines" --raw | sum)
  show "$broker: sha256 $actual"
  [[ $actual == "$expected" ]] || fail "what came out is not what went in, which has sha256 $expected"
done
[[ $(field high_watermark) -eq $lines ]] || fail "the log has $(field high_watermark) records, not $lines"
show "equal to the input, and each line there once"

step "The one that was killed starts again, and catches up"
mapfile -t command <"$work/command"
before=$(milliseconds)
"${command[@]}" 2>"$work/returned" &
returned=$!
wait_for 60 grep '^cairnd: ready on ' "$work/returned" || fail "it was not ready within 60 s: $(cat "$work/returned")"
actual=$("$CAIRN" --server "$leader" read packages --from start --count "$lines" --raw | sum)
[[ $actual == "$expected" ]] || fail "what came out of it is not what went in"
show "it has them all $(($(milliseconds) - before)) ms after it was started (sha256 $actual)"
kill "$returned"
wait "$returned" || fail "it did not stop cleanly"
returned=
kill "$cluster"
wait "$cluster" || fail "the others did not stop cleanly: $(cat "$work/told")"
cluster=
show "stopped"
