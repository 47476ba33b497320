# wasm_streams.sh RECORD_STREAMS NODE STREAMS.mjs HEVC.wasm SIZE PICTURES [OPTION...]: records streams,
# decodes them.
set -eu
record=$1 node=$2 script=$3 wasm=$4 size=$5 pictures=$6
shift 6
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$record" "$dir" "$size" "$pictures"
"$node" "$script" "$wasm" "$dir" "$@"
