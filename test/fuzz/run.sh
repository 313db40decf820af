#!/bin/bash
# Builds the fuzz targets and runs each for so many seconds: run.sh SECONDS [TARGET…], from the root of the repository.
# FUZZ_BUILD: where to build, dist/fuzz unless it is set.
set -euo pipefail

native=src/datapath/native
fuzz=test/fuzz
build=${FUZZ_BUILD:-dist/fuzz}
findings=$fuzz/findings
seconds=${1:?usage: test/fuzz/run.sh SECONDS [TARGET…]}
if ! [[ $seconds =~ ^[1-9][0-9]*$ ]]; then echo "\"$seconds\" is not a number of seconds" >&2; exit 2; fi
shift
targets=("$@")
if [ ${#targets[@]} = 0 ]; then targets=(packet fragment segment join table control prefix-map); fi

# What each target is linked with.
declare -A parts=(
  [packet]='packet icmp ecn segment checksum reference'
  [fragment]='fragment packet checksum reference'
  [segment]='segment packet checksum reference shape'
  [join]='join packet checksum reference shape'
  [table]='table prefix-map messages bytes address encode'
  [control]='control clock connection requests configure messages bytes address table prefix-map encode stand-in tracked'
  [prefix-map]='prefix-map'
)
# The system calls of the control thread, which the target plays.
declare -A options=(
  [control]='-Wl,--wrap=accept4,--wrap=getsockopt,--wrap=ppoll,--wrap=recv,--wrap=send,--wrap=close,--wrap=sigprocmask'
)
# See tracked.h.
declare -A defines=(
  [connection]='-Dmalloc=tracked_malloc -Drealloc=tracked_realloc -Dfree=tracked_free'
)
compile=(clang -std=c11 -D_GNU_SOURCE -O2 -g -fno-omit-frame-pointer -Wall -Wextra -Werror -pthread
  "-I$native" "-I$fuzz")
sanitize=(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
# What the data plane is compared with is slow enough: it is not looked at itself.
plain=' reference shape encode tracked '

# Little is freed and used again in one input: a short quarantine finds it, and stays in the cache.
export ASAN_OPTIONS=quarantine_size_mb=8:malloc_context_size=4${ASAN_OPTIONS:+:$ASAN_OPTIONS}

mkdir -p "$build" "$findings"
if ! echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d == 0 && n > 0; }' |
  clang -x c - -fsanitize=fuzzer,address,undefined -o "$build/probe" 2>"$build/probe.log"; then
  echo "fuzzing needs clang with libFuzzer; in Debian: apt-get install --no-install-recommends clang libclang-rt-14-dev" >&2
  cat "$build/probe.log" >&2
  exit 1
fi

source_of() {
  if [ -e "$fuzz/$1.c" ]; then echo "$fuzz/$1.c"; else echo "$native/$1.c"; fi
}

compile_part() {
  if [[ $plain = *" $1 "* ]]; then
    "${compile[@]}" -O3 -c "$(source_of "$1")" -o "$build/$1.o"
  elif [[ $1 = fuzz-* || $1 = checksum ]]; then # their comparisons are no news to the fuzzer
    "${compile[@]}" "${sanitize[@]}" -fno-sanitize-coverage=trace-cmp -c "$(source_of "$1")" -o "$build/$1.o"
  else
    # shellcheck disable=SC2086 # a list of words
    "${compile[@]}" "${sanitize[@]}" ${defines[$1]:-} -c "$(source_of "$1")" -o "$build/$1.o"
  fi
}

# shellcheck disable=SC2086 # the lists are words
for part in $(for target in "${targets[@]}"; do printf '%s\n' ${parts[$target]} "fuzz-$target"; done | sort -u); do
  compile_part "$part"
done

failed=0
for target in "${targets[@]}"; do
  objects=("$build/fuzz-$target.o")
  for part in ${parts[$target]}; do objects+=("$build/$part.o"); done
  clang -fsanitize=fuzzer,address,undefined -pthread ${options[$target]:-} -o "$build/fuzz-$target" "${objects[@]}"

  mkdir -p "$build/corpus/$target"
  log=$build/fuzz-$target.log
  arguments=(-max_total_time="$seconds" -print_final_stats=1 -timeout=10 -rss_limit_mb=1024 -max_len=512
    -artifact_prefix="$findings/$target-")
  if "$build/fuzz-$target" "${arguments[@]}" "$build/corpus/$target" "$fuzz/corpus/$target" >"$log" 2>&1; then
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    echo "fuzz-$target: $executions executions in $seconds seconds, no finding"
  else
    failed=1
    file=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    what=$(grep -m 1 -E 'does not hold|ERROR:|runtime error:' "$log" || tail -n 1 "$log")
    echo "fuzz-$target: a finding, in ${file:-$log}: $what"
    echo "  to see it again: $build/fuzz-$target ${file:-}"
  fi
done
exit "$failed"
