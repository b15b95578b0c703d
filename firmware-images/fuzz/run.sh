#!/bin/sh
# Fuzz the guest for SECONDS per target (default 60), from the seeds beside this file. Findings and what was learned
# stay in build/fuzz. Exit status is not 0 as soon as one target finds something.
set -eu
seconds=${1:-60}
here=$(cd "$(dirname "$0")" && pwd)
images=$(dirname "$here")
work=${FUZZ_DIR:-$(dirname "$images")/build/fuzz}
library=$(find "$images/lib" -name '*.c' ! -name mem.c)
for target in session payload; do
    mkdir -p "$work/$target/corpus"
    # shellcheck disable=SC2086 # a list of files
    clang -std=gnu11 -O1 -g -Wall -Wextra -Werror -Wconversion \
        -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
        -I"$images/include" $library "$images"/app/aggregate/*.c "$here/platform.c" "$here/$target.c" -o "$work/$target/fuzz"
    (cd "$work/$target" && ./fuzz -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -max_len=4096 \
        -print_final_stats=1 corpus "$here/seeds/$target")
done
