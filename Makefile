# Every target makes and reuses .venv by itself. Variables: PYTHON (the interpreter), SECONDS and MODEL (demo).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help venv demo test check kill-switch study-faults fuzz lint house bench bench-decode bench-capture fuzz-cameras soak-cameras bench-tracking bench-sizes bench-agreement bench-intervals bench-switch bench-affinity bench-int8 soak-switch soak bundle install-trial fault acl-matrix forgeries audit lock clean
.DEFAULT_GOAL := help
# Hundreds of programs are started by the tests: none is to compile its modules anew.
unexport PYTHONDONTWRITEBYTECODE
# Most tests wait, for a broker, a process or a time-out: two for each core keep the cores busy. A file's tests stay
# together, so that they share what they start; tests/conftest.py has the longest begin first.
TESTS_AT_A_TIME := $(shell expr 2 \* $$(nproc))
PYTEST := $(BIN)/python -m pytest --numprocesses $(TESTS_AT_A_TIME) --dist loadfile --no-loadscope-reorder --durations 10

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 16

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "edgepose needs Python 3.11 or newer; set PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

venv: $(STAMP)  ## Make the virtual environment .venv with the locked dependencies

demo: $(STAMP)  ## People's poses over a real broker, no camera needed (SECONDS=30 to stop by itself)
	$(BIN)/agent demo --page $(if $(SECONDS),--seconds $(SECONDS)) $(if $(MODEL),--model $(MODEL))

# Types are checked on one core. On another the tests are found meanwhile, and their modules compiled, once for all of
# the processes that run them; what is wrong with one is told by the run.
FIRST := $(MAKE) --no-print-directory --jobs 2 --output-sync lint ready
NETWORKS := movenet-multipose rtmpose-s vtest

.PHONY: ready
ready: $(STAMP)
	$(BIN)/models fetch $(NETWORKS)
	@$(BIN)/python -m pytest --collect-only --quiet >/dev/null 2>&1 || true

test: $(STAMP)  ## Lint, types and every test
	+@$(FIRST)
	$(PYTEST)

check: $(STAMP)  ## The quick loop: lint, types, and the tests that start no agent, broker or camera
	+@$(FIRST) NETWORKS="movenet-multipose vtest"
	$(PYTEST) -m "not slow" --hypothesis-profile quick

.PHONY: test-gpu
test-gpu: $(STAMP)  ## OpenVINO's real GPU plugin on a stand-in for the driver; ARGS go to pytest
	$(BIN)/models fetch movenet-multipose vtest
	$(BIN)/python -m tests.gpu $(ARGS)

.PHONY: test-gpu-core
test-gpu-core: $(STAMP)  ## The same without what compiles for minutes when no kernel is cached: what .ci/run does
	$(BIN)/models fetch movenet-multipose vtest
	$(BIN)/python -m tests.gpu -m "not whole" $(ARGS)

.PHONY: gpu-table
gpu-table: $(STAMP)  ## What each device string is on the GPU plugin: the table of docs/devices.md (ten minutes)
	$(BIN)/python -m tests.gpu.matrix

.PHONY: test-homeassistant
test-homeassistant: $(STAMP)  ## The box in the real Home Assistant, which is installed for it once; ARGS go to pytest
	$(BIN)/models fetch movenet-multipose vtest
	$(BIN)/python -m tests.homeassistant $(ARGS)

.PHONY: test-browser
test-browser: $(STAMP)  ## The controller's page in Debian's Chromium; ARGS go to pytest, --write renews the pictures
	$(BIN)/models fetch movenet-multipose vtest
	$(BIN)/python -m tests.browser $(ARGS)

.PHONY: test-node
test-node: $(STAMP)  ## The contract in AsyncAPI's own parser, the flow in Node-RED; both are installed for it once
	$(BIN)/python -m tests.node $(ARGS)

.PHONY: test-terminal
test-terminal: $(STAMP)  ## Every command's output at 60, 80, 120, 200 columns, without a terminal, colour, UTF-8 (half an hour)
	$(BIN)/python -m tests.controller.captures

kill-switch: $(STAMP)  ## 200 times kill -9 around a command: old or new settings, nothing lost, nothing twice
	$(BIN)/python -m tests.system.kill_switch --times 200

study-faults: $(STAMP)  ## Kill, stop, cancel, a lost broker and a lost camera amid a sweep of twelve rows
	$(BIN)/python -m tests.system.study_faults

fault: $(STAMP)  ## Faults of camera, broker, process and files: promise, figure wanted, figure measured (twenty minutes)
	$(BIN)/python -m tests.fault

fuzz: $(STAMP)  ## Generated and mutated commands: 100,000 through the codec, 10,000 through a broker to an agent
	$(BIN)/python -m tests.fuzz.commands --codec 100000 --broker 10000

acl-matrix: $(STAMP)  ## Who may write and read what at the broker, measured: every role on every kind of topic
	$(BIN)/python -m tests.security.acl_matrix

forgeries: $(STAMP)  ## 1,000 commands of each forged kind to an agent that takes signed ones alone: none is obeyed
	$(BIN)/python -m tests.security.forgeries --times 1000

audit: $(STAMP)  ## Every locked dependency in the database of known vulnerabilities; needs the network
	$(BIN)/python -m tests.security.audit

lint: $(STAMP)  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

house: $(STAMP)  ## The picture of who imports whom, in docs/architecture.md
	$(BIN)/python -m tests.house

bench: $(STAMP)  ## Speed, as ratios measured alternately in one run
	$(BIN)/python -m tests.benchmarks.bench

.PHONY: flame
flame: $(STAMP)  ## Where the processor time of a frame goes: a table, and a flame graph in flame.svg; ARGS go to it
	$(BIN)/models fetch movenet-multipose vtest
	$(BIN)/python -m tests.benchmarks.flame $(ARGS)

bench-decode: $(STAMP)  ## Time from a network's output to poses, by network and people
	$(BIN)/python -m tests.benchmarks.bench_decode

fuzz-cameras: $(STAMP)  ## 2,000 damaged recordings and pictures: no crash, no hang, nothing shown that nobody decoded
	$(BIN)/python -m tests.cameras.fuzz $(ARGS)

soak-cameras: $(STAMP)  ## An RTSP camera cut, stalled, hung and changed 200 times: back in time, nothing left behind
	$(BIN)/python -m tests.cameras.cuts $(ARGS)

bench-capture: $(STAMP)  ## What reading a frame costs, beside OpenCV's VideoCapture in the same run
	$(BIN)/python -m tests.benchmarks.bench_capture

bench-tracking: $(STAMP)  ## People a frame, ids per person, crossings, jitter, lag on the sample clip; ARGS="--model rtmpose-s"
	$(BIN)/python -m tests.benchmarks.bench_tracking $(ARGS)

bench-sizes: $(STAMP)  ## Accuracy, people found, speed by input size, network and precision
	$(BIN)/python -m tests.benchmarks.input_sizes

bench-agreement: $(STAMP)  ## Our raw limit over OpenVINO's benchmark_app, in turns
	$(BIN)/python -m tests.benchmarks.bench_agreement

bench-intervals: $(STAMP)  ## A hundred equal runs as twenty rows: how many 95 % intervals contain the mean of all
	$(BIN)/python -m tests.benchmarks.intervals

.PHONY: bench-study
bench-study: $(STAMP)  ## Real studies of equals, and of a difference, while another process comes and goes: who is named
	$(BIN)/python -m tests.benchmarks.study

.PHONY: bench-cameras
bench-cameras: $(STAMP)  ## One, two, four and eight agents at ten frames a second on this box: CPU a frame, age, memory
	$(BIN)/python -m tests.benchmarks.cameras $(ARGS)

.PHONY: bench-peers
bench-peers: $(STAMP)  ## Ultralytics, rtmlib and MediaPipe in turns with ours (installs 7.6 GB of theirs once)
	$(BIN)/python -m tests.benchmarks.peers $(ARGS)

.PHONY: yolo-agreement
yolo-agreement: $(STAMP)  ## Every person of YOLOv8n, YOLO11n, YOLO26n exports beside Ultralytics' predict (installs 6.6 GB of theirs once)
	$(BIN)/python -m tests.poses.yolo_agreement $(ARGS)

.PHONY: tune-demo
tune-demo: $(STAMP)  ## tune for a wish on the demo, its winner watched for a minute: 0 where the wish is held; ARGS="--fps 10 --cpu 60"
	$(BIN)/python -m tests.benchmarks.tune_demo $(ARGS)

.PHONY: bench-refusals
bench-refusals: $(STAMP)  ## 10,000 bad commands to an agent at work: how many a second, CPU of each, age of its results
	$(BIN)/python -m tests.benchmarks.refusals $(ARGS)

bench-switch: $(STAMP)  ## What a switch costs: reply, gap, compile cold and warm, latency meanwhile
	$(BIN)/python -m tests.benchmarks.bench_switch

bench-affinity: $(STAMP)  ## What cutting a network between two devices costs: submodels, bytes, time a frame
	$(BIN)/python -m tests.benchmarks.bench_affinity

soak-switch: $(STAMP)  ## Two hundred switches under a feed that loses nothing, and what they leave behind
	$(BIN)/python -m tests.soak.switches

.PHONY: bench-fleet test-rollout
bench-fleet: $(STAMP)  ## 1,000 simulated agents on one mosquitto: online, commands, restart, cost; ARGS="--agents 200 --tls"
	$(BIN)/python -m tests.fleet.bench $(ARGS)

test-rollout: $(STAMP)  ## A roll-out of 200 simulated boxes that fail, get slow and vanish, killed twenty times
	$(BIN)/python -m tests.fleet.rollouts $(ARGS)

.PHONY: soak-stages
soak-stages: $(STAMP)  ## A hundred switches between MoveNet and RTMPose: no hole in seq, nothing left behind
	$(BIN)/python -m tests.soak.switches --switches 100 --stages

.PHONY: soak-faults
soak-faults: $(STAMP)  ## FAULTS=400 one right after the other: what each leaves in memory, and every return
	$(BIN)/python -m tests.soak.leftovers --faults $(or $(FAULTS),400)

soak: $(STAMP)  ## An agent for HOURS=1 with a fault every minute: memory, latency, recoveries; CSV and picture
	$(BIN)/python -m tests.soak.endurance --hours $(or $(HOURS),1)

bench-int8: $(STAMP)  ## What each way of quantising the default network gives (half an hour)
	$(BIN)/python -m tests.benchmarks.int8

.PHONY: bundle install-trial
bundle: $(STAMP)  ## Everything a box without a network needs, in one tar below dist/
	systemd/bundle.sh

install-trial: bundle  ## The installer in a clean Debian root, up to a running agent, upgraded and removed (as root)
	unshare --mount $(BIN)/python -m tests.systemd.trial dist/edgepose-*.tar
	$(MAKE) install-trial-next

.PHONY: install-trial-next
install-trial-next: bundle  ## The same in Debian 13: its Python, its broker, a bundle made there (as root)
	unshare --mount $(BIN)/python -m tests.systemd.trial --suite trixie

.PHONY: boot-trial
boot-trial: bundle  ## The same with the root's own systemd, booted in systemd-nspawn: what confines the service, reboot (as root)
	$(BIN)/python -m tests.systemd.trial --boot dist/edgepose-*.tar

lock: $(STAMP)  ## Renew requirements.lock within the bounds of pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --custom-compile-command 'make lock' --quiet --upgrade --output-file requirements.lock

clean:  ## Remove the virtual environment and what tools left behind
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
