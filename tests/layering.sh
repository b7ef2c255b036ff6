#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Arrows point one way: a room includes only rooms before it in this list, itself, and
# the installed headers. Backends see include/ and their own folder; matrix also cpu's.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top" || exit 1
rooms="core model ops graph machine place cost partition mem plan exec engine"
broken=0

allowed=
for room in $rooms; do
    allowed="$allowed $room"
    for file in src/"$room"/*.[ch]; do
        [ -f "$file" ] || continue
        for include in $(sed -n 's/^# *include "\(.*\)"/\1/p' "$file"); do
            case $include in
            */*) other=${include%%/*} ;;
            *) continue ;; # a neighbour, or config.h
            esac
            case " $allowed " in
            *" $other "*) ;;
            *)
                echo "$file includes $include: $room must not know $other"
                broken=$((broken + 1))
                ;;
            esac
        done
    done
done

for file in backends/*/*.[ch]; do
    name=$(basename "$(dirname "$file")")
    for include in $(sed -n 's/^# *include "\(.*\)"/\1/p' "$file"); do
        case $name:$include in
        matrix:../cpu/* | matrix:cpu/*) ;;
        *:config.h) ;;
        *:*/*)
            echo "$file includes $include: a backend sees include/ and its own folder"
            broken=$((broken + 1))
            ;;
        esac
    done
done
[ "$broken" -eq 0 ] || exit 1
echo "the layers hold"
