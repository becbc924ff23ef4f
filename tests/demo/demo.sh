#!/usr/bin/env bash
# The main job on real input: Debian's own package index goes in and comes out unchanged, and a broker that is killed in the middle of
# a second run has every record it acknowledged. Needs CAIRND and CAIRN, the paths of the programs; ./dev demo sets them.

set -euo pipefail

: "${CAIRND:?the path of cairnd}" "${CAIRN:?the path of cairn}"
work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-demo.XXXXXX")
broker=

finish() {
  local status=$?
  [[ -z $broker ]] || kill -9 "$broker" 2>/dev/null || true
  wait 2>/dev/null || true
  if [[ $status -ne 0 && -s $work/log ]]; then
    echo "the broker said:" >&2
    tail -n 20 "$work/log" >&2
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

start_broker() {
  : >"$work/log"
  "$CAIRND" --data-dir "$work/data" --listen "${address:-127.0.0.1:0}" 2>>"$work/log" &
  broker=$!
  local line
  for _ in $(seq 600); do
    line=$(grep -m1 '^cairnd: ready on ' "$work/log" || true)
    [[ -z $line ]] || break
    kill -0 "$broker" 2>/dev/null || fail "the broker did not start"
    sleep 0.05
  done
  [[ -n $line ]] || fail "the broker was not ready within 30 s"
  show "$line"
  address=${line#cairnd: ready on }
  address=${address%% *}
  export CAIRN_SERVER=$address
}

milliseconds() { date +%s%3N; }
sum() { sha256sum | cut -d' ' -f1; }

step "Input: Debian's package index (apt-cache dumpavail)"
apt-cache dumpavail >"$work/input"
lines=$(wc -l <"$work/input")
if [[ $lines -lt 1000000 ]]; then
  show "the package lists are not here yet: apt-get update"
  if [[ $(id -u) -eq 0 ]]; then apt-get -qq update; else sudo apt-get -qq update; fi
  apt-cache dumpavail >"$work/input"
  lines=$(wc -l <"$work/input")
fi
[[ $lines -ge 1000000 ]] || fail "only $lines lines; a million are wanted: does /etc/apt/sources.list name Debian's main archive?"
bytes=$(stat -c %s "$work/input")
expected=$(sum <"$work/input")
show "$lines lines, $bytes bytes, sha256 $expected"

step "A broker"
start_broker

step "Every line is a record: durable before it is acknowledged"
"$CAIRN" topic create packages
before=$(milliseconds)
"$CAIRN" append packages --file "$work/input"
took=$(($(milliseconds) - before))
show "$lines records in $took ms: $((lines * 1000 / (took + 1))) a second, $((bytes / 1000 / (took + 1))) MB/s"

step "Read back"
before=$(milliseconds)
actual=$("$CAIRN" read packages --from start --to end --raw | sum)
took=$(($(milliseconds) - before))
show "sha256 $actual, in $took ms"
[[ $actual == "$expected" ]] || fail "what came out is not what went in"
show "equal"
"$CAIRN" partition describe packages 0

step "A second run, and kill -9 in the middle of it"
"$CAIRN" topic create crash
"$CAIRN" append crash --file "$work/input" --print-offsets >"$work/acknowledged" 2>"$work/append.err" &
append=$!
for _ in $(seq 2000); do
  [[ $(stat -c %s "$work/acknowledged") -lt 1000000 ]] || break
  kill -0 "$append" 2>/dev/null || break
  sleep 0.005
done
kill -9 "$broker"
wait "$broker" 2>/dev/null || true
broker=
if wait "$append"; then show "(the run was over before the kill)"; else show "the client says: $(head -n 1 "$work/append.err")"; fi
# A line that was cut in the middle of being written was not seen by anybody.
acknowledged=$(grep -c '^0:[0-9]*$' "$work/acknowledged" || true)
show "$acknowledged records were acknowledged before the kill"
[[ $acknowledged -gt 0 ]] || fail "nothing was acknowledged; nothing was shown"

step "Started again on the same directory"
before=$(milliseconds)
start_broker
show "ready after $(($(milliseconds) - before)) ms"
kept=$("$CAIRN" -o json partition describe crash 0 | grep -o '"high_watermark": *"\?[0-9]*' | grep -o '[0-9]*$')
show "the log has $kept records"
[[ $kept -ge $acknowledged ]] || fail "$((acknowledged - kept)) acknowledged records are gone"
expected=$(head -n "$kept" "$work/input" | sum)
actual=$("$CAIRN" read crash --from start --count "$kept" --raw | sum)
[[ $actual == "$expected" ]] || fail "the records are not those that were sent, in their order"
show "every acknowledged record is there, in order (sha256 $actual)"

step "Stopped"
kill -TERM "$broker"
wait "$broker" || fail "the broker did not stop cleanly"
broker=
show "exit status 0"
"$CAIRN" verify "$work/data"
