#!/usr/bin/env bash
# usage: cpu2.sh first|more ARGS...   (host CPU beside PyTorch)
set -u
if [ "$1" = first ]; then
  mkdir -p /tmp/eaq && tar xJf .gpu/pack.tar.xz -C /tmp/eaq
  cp docs/results/peers-cpu-intel-r-xeon-r-processor-family-6-model-207-amx.json /tmp/peers.json
  lscpu | grep -E "Model|Flags" | cut -c1-120; nvidia-smi -L
fi
shift
export PATH=/tmp/eaq/bin:$PATH PEERS_PYTHON=python3
eaq doctor | head -1 | cut -c1-100
bench/peers/run --eaq /tmp/eaq/bin/eaq --peers "torch eager;torch eager, StaticCache" --keep 1 --cache /tmp/pv-cache --merge /tmp/peers.json --out $OUT/peers.json "$@" 2>&1 | tail -60
[ -s $OUT/peers.json ] && cp $OUT/peers.json /tmp/peers.json
