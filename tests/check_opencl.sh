#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# hetero check --compatibility on made-up OpenCL set-ups: each fault is told with its remedy and
# gives exit code 1; and what the opencl backend lists of devices of every type.
set -u
hetero=${HETERO:-./hetero}
stub=${STUB:-tests/stubs/.libs/stub_icd.so}
[ -f "$stub" ] || { echo "SKIP: no $stub (OpenCL headers are needed)"; exit 77; }
scratch=$(mktemp -d) || exit 1
trap 'chmod -R u+rwx "$scratch"; rm -rf "$scratch"' EXIT
unset OCL_ICD_VENDORS OPENCL_VENDOR_PATH OCL_ICD_FILENAMES
export HETEROENGINE_OPENCL_PROBE_SECONDS=4 XDG_CACHE_HOME="$scratch/cache"
root=$scratch/root
export HETEROENGINE_CHECK_ROOT="$root" HETEROENGINE_CHECK_NVIDIA="$scratch/no-such-library.so"
failed=0
fail() {
    echo "FAIL: $*"
    failed=1
}
"$hetero" check 2>&1 | grep -q '^OpenCL loader.*opens' || { echo "SKIP: no OpenCL loader"; exit 77; }

# role NAME: a copy of the driver that plays it
role() {
    cp "$stub" "$scratch/stub-$1.so"
    echo "$scratch/stub-$1.so"
}
# vendors ROLE...: an empty machine with such drivers
vendors() {
    rm -rf "$root"
    mkdir -p "$root/etc/OpenCL/vendors"
    for name in "$@"; do
        role "$name" >"$root/etc/OpenCL/vendors/$name.icd"
    done
}
# told WHAT PATTERN...: the check fails and its findings about drivers hold each pattern
told() {
    what=$1
    shift
    "$hetero" check --compatibility >"$scratch/out" 2>&1
    [ $? -eq 1 ] || fail "$what: exit code is not 1"
    for pattern in "$@"; do
        grep -q -- "$pattern" "$scratch/out" || fail "$what: no '$pattern' in: $(cat "$scratch/out")"
    done
}
# quiet WHAT PATTERN: nothing of it is found
quiet() {
    "$hetero" check --compatibility >"$scratch/out" 2>&1
    grep -q -- "$2" "$scratch/out" && fail "$1: '$2' in: $(cat "$scratch/out")"
}

told "no folder" "$root/etc/OpenCL/vendors: No such file" 'install a driver'
vendors
told "an empty folder" 'has no .icd file' 'install a driver'
vendors gpu
"$hetero" check --compatibility >"$scratch/out" 2>&1
grep -q '^gpu.icd *Stub Platform, 1 device: Stub Device 7.0' "$scratch/out" ||
    fail "a good driver: $(cat "$scratch/out")"
"$hetero" check --compatibility --json 2>/dev/null | grep -q '"what": "gpu.icd"' ||
    fail "no finding in JSON"

vendors
echo "$scratch/missing.so" >"$root/etc/OpenCL/vendors/lost.icd"
told "a library that is not there" '^lost.icd.*missing.so: cannot open shared object file' \
    'install the package that has .*missing.so, or remove .*lost.icd'
echo 'not a library' >"$scratch/broken.so"
echo "$scratch/broken.so" >"$root/etc/OpenCL/vendors/lost.icd"
told "a library that is none" '^lost.icd.*\(invalid ELF header\|file too short\)'
: >"$root/etc/OpenCL/vendors/lost.icd"
told "an empty file" '^lost.icd.*names no library'
echo libm.so.6 >"$root/etc/OpenCL/vendors/lost.icd"
told "a library that is no driver" '^lost.icd.*no OpenCL driver'

vendors crash
told "a driver that crashes" '^crash.icd.*crashed (signal 6' 'take .*crash.icd away'
vendors hang
told "a driver that hangs" '^hang.icd.*no answer within 4 seconds' 'take .*hang.icd away'
vendors none
told "a platform without devices" '^none.icd.*platform Stub Platform has no devices' 'device nodes'
vendors noplatform
told "a driver without a platform" '^noplatform.icd.*has no platform (clIcdGetPlatformIDsKHR: error -1001'
vendors gpu
cp "$root/etc/OpenCL/vendors/gpu.icd" "$root/etc/OpenCL/vendors/again.icd"
told "two files for one driver" 'again.icd and .*gpu.icd both bring Stub Device' 'remove one of'
vendors gpu fpga
quiet "two drivers for two devices" 'both bring'

# NVIDIA's library without its .icd file, and a card without its library.
vendors gpu
HETEROENGINE_CHECK_NVIDIA=$(role gpu)
told "a driver nobody names" '^NVIDIA.*no .icd file names it' 'echo libnvidia-opencl.so.1 > /etc/OpenCL/vendors/nvidia.icd'
echo libnvidia-opencl.so.1 >"$root/etc/OpenCL/vendors/nvidia.icd"
quiet "a driver that is named" '^NVIDIA'
HETEROENGINE_CHECK_NVIDIA=$scratch/no-such-library.so
vendors gpu
quiet "no card" '^NVIDIA'
mkdir -p "$root/dev" "$root/proc/driver/nvidia"
: >"$root/dev/nvidiactl"
told "a card without OpenCL" '^NVIDIA.*its OpenCL library is not' 'nvidia-opencl-icd'
rm "$root/dev/nvidiactl"
: >"$root/proc/driver/nvidia/version"
told "a module without nodes" '^NVIDIA.*no /dev/nvidiactl' 'nvidia-modprobe'

# Nodes of others. Root may open everything: then another user looks, if we may become one.
vendors gpu
mkdir -p "$root/dev/dri"
: >"$root/dev/dri/renderD128"
: >"$root/dev/nvidia0"
chmod 000 "$root/dev/dri/renderD128" "$root/dev/nvidia0"
plain=$hetero
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null &&
    chmod -R a+rX "$scratch" && chmod 000 "$root/dev/dri/renderD128" "$root/dev/nvidia0" &&
    setpriv --reuid=65534 --clear-groups "$hetero" help >/dev/null 2>&1; then
    cat >"$scratch/as_other" <<END
#!/bin/sh
exec setpriv --reuid=65534 --clear-groups "$plain" "\$@"
END
    chmod a+rx "$scratch/as_other"
    hetero=$scratch/as_other
fi
if [ "$hetero" != "$plain" ] || [ "$(id -u)" -ne 0 ]; then
    told "nodes of others" '^/dev/dri/renderD128 *cannot be opened by this user: Permission denied' \
        '^/dev/nvidia0' 'chmod 660'
fi
hetero=$plain

# Folders named by the environment.
vendors
mkdir "$scratch/elsewhere"
role gpu >"$scratch/elsewhere/gpu.icd"
for variable in OCL_ICD_VENDORS OPENCL_VENDOR_PATH; do
    env "$variable=$scratch/elsewhere" "$hetero" check --compatibility 2>&1 |
        grep -q "^OpenCL drivers *1 in $scratch/elsewhere; named by $variable" ||
        fail "$variable is not looked at"
done
OCL_ICD_VENDORS=$scratch/nowhere "$hetero" check 2>&1 | grep -q 'unset OCL_ICD_VENDORS' ||
    fail "a folder that is not there is not told"

# Devices of every type, and what they are offered as.
# listed ROLE ID
listed() {
    rm -f "$scratch/elsewhere"/*
    role "$1" >"$scratch/elsewhere/x.icd"
    OCL_ICD_VENDORS=$scratch/elsewhere "$hetero" devices 2>&1 | grep -q "^$2 .*opencl" ||
        fail "a device of type $1 is not listed as $2"
}
listed gpu GPU:0
listed fpga FPGA:0
listed dsp DSP:0
listed accelerator ASIC:0
listed custom ASIC:0
listed nocompiler ASIC:0
# A driver that crashes or hangs leaves the other backends be, and is told.
for name in crash hang; do
    rm -f "$scratch/elsewhere"/*
    role "$name" >"$scratch/elsewhere/x.icd"
    OCL_ICD_VENDORS=$scratch/elsewhere "$hetero" devices 2>&1 | grep -q '^CPU:0' ||
        fail "a driver that does $name takes the processor away"
    OCL_ICD_VENDORS=$scratch/elsewhere "$hetero" check 2>&1 |
        grep -q '^opencl .*hetero check --compatibility says which' || fail "$name is not told"
done

[ "$failed" -eq 0 ] || exit 1
echo "faults of OpenCL set-ups are told with their remedies"
