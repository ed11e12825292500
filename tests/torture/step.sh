#!/bin/sh
# What every step of the torture runs: a line in the book before its work and one after it. The daemon never touches the book.
#   step.sh LABEL SECONDS WORK [ARGUMENTS]
label=$1 seconds=$2 work=$3
shift 3

write() { # appended with one write, and on disk when this returns
    read -r uptime _ </proc/uptime
    printf '%s %s %s %s %s %s %s\n' "$1" "$TIPHYS_ATTEMPT" "$TIPHYS_IDEMPOTENCY_KEY" "$label" "$$" "$uptime" "$2" >>"$TORTURE_BOOK"
    sync "$TORTURE_BOOK"
}

say() { # lines of which the log must have every one
    line=$1
    while [ "$line" -le "$2" ]; do
        echo "$label line $line"
        line=$((line + 1))
    done
}

write start -
say 1 10
[ "$seconds" = 0 ] || sleep "$seconds"
code=0
case $work in
fine) ;;
fail) code=$1 ;;
sick) # fails the first $1 times, which are counted in the file $2
    echo . >>"$2"
    [ "$(wc -l <"$2")" -gt "$1" ] || code=3
    ;;
make) # a load of $2 lines in the folder $1, and its sum
    mkdir -p "$1"
    seq "$2" >"$1/load"
    cksum <"$1/load" >"$1/sum"
    ;;
look) # the load in the file $1 has the sum $2
    [ "$(cksum <"$1")" = "$2" ] || code=9
    ;;
*) code=99 ;;
esac
say 11 20
write end "$code"
exit "$code"
