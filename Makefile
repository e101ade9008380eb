# `make sim` runs the stack in simulation, `make test` checks the repository. Each sets up what it needs once.
# Needs: make, Python 3.11 or newer with venv, and a network to the Python index for the first run.

EPISODES ?= 20
SEED ?= 0
POLICY ?= models/stereo_student.onnx
OBJECTS ?= held-out
VIEW ?= 0

# Files of tests that run side by side, and more arguments of pytest: make test JOBS=1 PYTEST="-k limits -x".
JOBS ?= 2
PYTEST ?=
# An interpreter to build the environments with; one is looked for when this is empty.
PYTHON ?=
# One more package index for torch, where the default one serves a build that is not wanted:
# make test TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=

ROS_PACKAGES := $(wildcard ros2_ws/src/grasp_*)
# Simulation has no cameras: it does without OpenCV and what else they need.
SIM_PACKAGES := $(filter-out %/grasp_camera,$(ROS_PACKAGES))
# These are copied into an environment (code is used where it lies): when one changes, install again.
COPIED := $(foreach package,$(ROS_PACKAGES),$(wildcard $(package)/setup.py $(package)/setup.cfg \
	$(package)/package.xml $(package)/launch/*.py $(package)/config/*.yaml $(package)/config/robots/*.yaml \
	$(package)/config/*.xml $(package)/config/security/*.xml))

# $(call pip-install,environment) arguments. Quiet about what setuptools thinks of editable installations.
pip-install = PYTHONWARNINGS=ignore $(1)/bin/python -m pip --disable-pip-version-check install -qq \
	--no-build-isolation -c constraints.txt
# An editable installation leaves out data files (resource marker, manifest, launch files, parameters), which
# ament_index looks for in the environment: $(call install-data,environment,packages) adds them.
define install-data
@for package in $(2); do ( cd $$package && \
	"$(CURDIR)/$(1)/bin/python" -W ignore setup.py -q install_data --install-dir "$(CURDIR)/$(1)" ) || exit; done
endef

# A ROS 2 installation or another environment that the shell has sourced must not leak into ours.
unexport PYTHONPATH
unexport PYTHONHOME
unexport LD_LIBRARY_PATH
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE
export RMW_IMPLEMENTATION := rmw_fastrtps_cpp
# A simulation's joint commands must never reach a robot that listens on the same network.
ROS_AUTOMATIC_DISCOVERY_RANGE ?= LOCALHOST
export ROS_AUTOMATIC_DISCOVERY_RANGE
# Runs side by side must not hear each other: a domain is drawn unless one is named.
ROS_DOMAIN_ID ?= $(shell echo $$((1 + $$$$ % 100)))
ROS_DOMAIN_ID := $(ROS_DOMAIN_ID)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help sim test faults lint typecheck colcon venv clean distclean

# An environment knows the absolute path of its repository: after a move, install again.
$(shell for venv in .venv .venv-sim; do \
	if [ -f $$venv/.location ] && [ "$$(cat $$venv/.location)" != "$(CURDIR)" ]; then rm -f $$venv/.stamp-*; fi; done)

help: ## Show this list
	@echo "Targets:"
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'
	@echo "Settings of make sim: EPISODES=$(EPISODES) (0: until Ctrl-C) SEED=$(SEED) POLICY=$(POLICY)"
	@echo "                      OBJECTS=$(OBJECTS) (or training) VIEW=$(VIEW) (1: watch in the browser) ROS_DOMAIN_ID"
	@echo "Settings of all:      PYTHON=python3.12 (builds the environments) TORCH_INDEX=URL (one more index for torch)"
	@echo "Settings of make test: JOBS=$(JOBS) (files side by side) PYTEST=\"-k limits -x\" (more arguments of pytest)"

sim: .venv-sim/.stamp-packages ## Run grasping episodes in simulation over ROS 2 and print the scoreboard
	@AMENT_PREFIX_PATH="$(CURDIR)/.venv-sim" ROS_DOMAIN_ID=$(ROS_DOMAIN_ID) .venv-sim/bin/python \
		-m grasp_bringup.runner sim --episodes "$(EPISODES)" --seed "$(SEED)" --policy "$(POLICY)" \
		--objects "$(OBJECTS)" --view "$(VIEW)"

test: lint ## Lint, then run every test
	@AMENT_PREFIX_PATH="$(CURDIR)/.venv" .venv/bin/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(PYTEST)

faults: .venv/.stamp-packages ## Inject every fault into the running graph, and write the table of FAULTS.md
	@AMENT_PREFIX_PATH="$(CURDIR)/.venv" PYTHONPATH=tests .venv/bin/python -m fault_table \
		--write ros2_ws/src/grasp_bringup/FAULTS.md

lint: .venv/.stamp-packages ## Check style with ruff
	@.venv/bin/ruff check .

typecheck: .venv/.stamp-packages ## Check types with pyright
	@.venv/bin/python -m pyright --pythonpath .venv/bin/python

colcon: .venv/.stamp-packages ## Build the ROS 2 workspace with colcon, into ros2_ws/install
	@cd ros2_ws && PATH="$(CURDIR)/.venv/bin:$$PATH" ../.venv/bin/colcon build --base-paths src

venv: .venv/.stamp-packages ## Set up .venv for training; then: source .venv/bin/activate && grasp --help

clean: ## Remove caches and colcon's output
	rm -rf ros2_ws/build ros2_ws/install ros2_ws/log .pytest_cache .ruff_cache .hypothesis
	find ros2_ws calibration training tests -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## Also remove the environments
	for venv in .venv .venv-sim; do if [ -f $$venv/.location ]; then rm -rf $$venv; fi; done
	find ros2_ws calibration training -name '*.egg-info' -prune -exec rm -rf {} +

# The deployment's environment: ROS 2 and the nodes. No torch.
.venv-sim/.stamp-packages: .venv-sim/.stamp-python constraints.txt pyproject.toml $(COPIED)
	@echo "Installing the deployment's packages into .venv-sim ..."
	@$(call pip-install,$(@D)) --group ros $(addprefix -e ,$(SIM_PACKAGES))
	$(call install-data,$(@D),$(SIM_PACKAGES))
	@touch $@

# Everything: ROS 2, the nodes, training, tests.
.venv/.stamp-packages: .venv/.stamp-torch pyproject.toml training/pyproject.toml calibration/pyproject.toml $(COPIED)
	@echo "Installing the packages for training and tests into .venv ..."
	@$(call pip-install,$(@D)) --group ros --group test $(addprefix -e ,$(ROS_PACKAGES)) \
		-e calibration -e training
	$(call install-data,$(@D),$(ROS_PACKAGES))
	@touch $@

.venv/.stamp-torch: .venv/.stamp-python constraints.txt
	@echo "Installing torch into .venv ..."
	@$(call pip-install,$(@D)) torch $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
	@touch $@

.venv/.stamp-python .venv-sim/.stamp-python:
	@if [ -e $(@D) ] && [ ! -f $(@D)/.location ]; then \
		echo "$(@D) is there already and was not made by make: move it away first." >&2; exit 1; \
	fi
	@for candidate in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
		if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
		then python="$$candidate"; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "This needs Python 3.11 or newer with its venv module;" \
			"$(or $(PYTHON),python3) is $$($(or $(PYTHON),python3) --version 2>&1)." \
			"On Debian or Ubuntu: apt install python3-venv. Another one: make PYTHON=/path/to/python3.12 ..." >&2; \
		exit 1; \
	fi; \
	echo "Making $(@D) with $$("$$python" --version) ..."; \
	rm -rf $(@D) && mkdir $(@D) && printf '%s' "$(CURDIR)" > $(@D)/.location && "$$python" -m venv $(@D)
	@$(call pip-install,$(@D)) pip setuptools
	@touch $@
