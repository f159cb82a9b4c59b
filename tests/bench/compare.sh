#!/bin/sh
# Compares the micro benchmarks of a commit with those of the work tree, both sides
# in turns, by benchstat.
#
#   BASE   the commit to compare with
#   BENCH  which benchmarks, a regular expression; default all
#   COUNT  rounds; default 6, the least that benchstat needs
#   TIME   the time of each benchmark in each round; default 50ms
set -eu
: "${BASE:?names the commit to compare with: make bench-compare BASE=HEAD~1}"
bench=${BENCH:-.}
count=${COUNT:-6}
each=${TIME:-50ms}
go=${GO:-go}
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"; git worktree prune' EXIT
git worktree add --quiet --detach "$folder/tree" "$BASE"

# build builds the benchmarks of a tree.
build() {
  mkdir "$folder/$2"
  (
    cd "$1"
    grep -rl --include='*_test.go' '^func Benchmark' shared functions | xargs -n 1 dirname | sort -u | while read -r package; do
      "$go" test -c -o "$folder/$2/$(echo "$package" | tr / :)" "./$package"
    done
  )
}
build "$folder/tree" base
build . new

# run runs the benchmarks of one package, in its folder.
run() {
  (cd "$1/$3" && "$folder/$2/$4" -test.run '^$' -test.bench "$bench" -test.benchmem -test.benchtime "$each") >>"$folder/$2.txt"
}
n=1
while [ "$n" -le "$count" ]; do
  for binary in $(ls "$folder/new"); do
    package=$(echo "$binary" | tr : /)
    [ -x "$folder/base/$binary" ] || continue
    run "$folder/tree" base "$package" "$binary"
    run . new "$package" "$binary"
  done
  echo "round $n of $count" >&2
  n=$((n + 1))
done
"$go" run golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da base="$folder/base.txt" new="$folder/new.txt"
