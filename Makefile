# Corduroy. `make` alone lists what there is.
# Everything needed is set up on the way: Debian packages (as root), node modules, the build.

NODE_MIN := 20.19
CHECK_NODE := const v = (s) => s.split(".").map(Number), [a, b] = v(process.versions.node), [c, d] = v("$(NODE_MIN)"); process.exit(a > c || (a === c && b >= d) ? 0 : 1)
# command:package, for what a build needs, then for what the demo and the tests run
BUILD_TOOLS := cc:gcc strip:binutils
TOOLS := etcd:etcd-server etcdctl:etcd-client ip:iproute2 nft:nftables iptables:iptables ping:iputils-ping \
         iperf3:iperf3 nsenter:util-linux sysctl:procps openssl:openssl
TEST_TOOLS := clang:clang strace:strace ethtool:ethtool systemd-nspawn:systemd-container mmdebstrap:mmdebstrap \
              dockerd:docker.io /usr/lib/cni/bridge:containernetworking-plugins lintian:lintian man:man-db \
              busybox:busybox-static zsh:zsh fish:fish wg:wireguard-tools wireguard-go:wireguard-go
VM_TOOLS := qemu-system-x86_64:qemu-system-x86 wg:wireguard-tools mmdebstrap:mmdebstrap busybox:busybox-static
HEADERS := /usr/include/stdio.h:libc6-dev /usr/include/linux/if_tun.h:linux-libc-dev

CC      ?= cc
CFLAGS  ?= -O2 -g
C_DIALECT = -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -Wconversion -pthread
HARDENING = -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fPIE -pie -Wl,-z,relro,-z,now
FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 600
CHAOS_SECONDS ?= 1800
VERSION  = $(shell node -p 'require("./package.json").version')
SOURCES := $(shell find src -name '*.ts')
NATIVE  := $(wildcard src/datapath/native/*.c src/datapath/native/*.h)

.DEFAULT_GOAL := help
.PHONY: help setup check-node packages build-packages test-packages build install uninstall deb check demo test test-sanitized test-chaos vm-packages test-vm test-unit coverage bench soak fuzz clean root

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: packages node_modules/.package-lock.json ## install what is missing: Debian packages (as root), node modules

# In a shell: installs the packages $missing from Debian, of which none starts a service. What apt said is in apt.log.
define apt-install
policy=/usr/sbin/policy-rc.d; \
	if [ ! -e $$policy ]; then \
	  trap 'rm -f '$$policy EXIT; \
	  printf '#!/bin/sh\nexit 101\n' >$$policy; chmod 755 $$policy; \
	fi; \
	export DEBIAN_FRONTEND=noninteractive; \
	{ apt-get install -y -q --no-install-recommends $$missing || \
	  { apt-get update -q && apt-get install -y -q --no-install-recommends $$missing; }; } >apt.log 2>&1
endef

# In a shell: those packages of the commands $(1), each as command:package, whose commands are missing.
define find-missing
missing=""; \
	for tool in $(1); do PATH="$$PATH:/usr/sbin:/sbin" command -v "$${tool%%:*}" >/dev/null || missing="$$missing $${tool#*:}"; done
endef

# Installs the packages of the commands $(1) and of the headers that are missing.
define install-missing
	@$(find-missing); \
	for header in $(HEADERS); do [ -e "$${header%%:*}" ] || missing="$$missing $${header#*:}"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then echo "missing, under these names in Debian:$$missing; install them and run make again" >&2; exit 1; fi; \
	if [ "$$(id -u)" != 0 ]; then echo "missing:$$missing. Run: sudo apt-get install --no-install-recommends$$missing" >&2; exit 1; fi; \
	echo "installing from Debian:$$missing"; \
	$(apt-install) && rm -f apt.log || { cat apt.log >&2; rm -f apt.log; exit 1; }
endef

packages: check-node
	$(call install-missing,$(BUILD_TOOLS) $(TOOLS))

build-packages: check-node
	$(call install-missing,$(BUILD_TOOLS))

check-node:
	@node -e '$(CHECK_NODE)' || { echo "Node.js $(NODE_MIN) or newer is missing: install it from nodejs.org or your distribution" >&2; exit 1; }

# What only some tests need: without them these are skipped, and say so.
test-packages: packages
	@$(call find-missing,$(TEST_TOOLS)); \
	[ -n "$$(find /usr/lib/llvm-*/lib/clang -name 'libclang_rt.fuzzer*' 2>/dev/null)" ] || missing="$$missing libclang-rt-14-dev"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	echo "installing from Debian, for some of the tests:$$missing"; \
	$(apt-install) && rm -f apt.log || \
	  echo "could not install$$missing: the tests that need them are skipped; see apt.log" >&2

# No dependency needs its install scripts.
node_modules/.package-lock.json: package.json package-lock.json
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

build: build-packages dist/corduroy.js dist/corduroy-datapath ## compile to dist/

dist/corduroy.js: $(SOURCES) tsconfig.json tsconfig.build.json package.json node_modules/.package-lock.json
	@find dist -mindepth 1 ! -name corduroy-datapath ! -path 'dist/sanitized*' ! -path 'dist/fuzz*' -delete 2>/dev/null || true
	node_modules/.bin/tsc -p tsconfig.build.json
	chmod 755 dist/corduroy.js dist/corduroyd.js
	@touch $@

dist/corduroy-datapath: $(NATIVE) package.json
	@mkdir -p dist
	$(CC) $(C_DIALECT) $(CFLAGS) $(HARDENING) '-DCORDUROY_VERSION="$(VERSION)"' -o $@ $(filter %.c,$(NATIVE))

# The same with sanitizers, which end the process at the first finding. `make test-sanitized` puts it in the other's place.
dist/sanitized/corduroy-datapath: $(NATIVE) package.json
	@mkdir -p dist/sanitized
	$(CC) $(C_DIALECT) -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all \
	  '-DCORDUROY_VERSION="$(VERSION)"' -o $@ $(filter %.c,$(NATIVE))

# Variables of make's command line, PREFIX="…", are in the environment of what it runs: no quoting gets in their way.
install: dist/corduroy.js dist/corduroy-datapath ## copy it to where it is to run (PREFIX=/usr/local DESTDIR=)
	@src/packaging/install.sh install
	@echo "installed below $${DESTDIR:-}$${PREFIX:-/usr/local}; what is next: docs/install.md"

uninstall: ## remove what make install copied (the same PREFIX and DESTDIR)
	@src/packaging/install.sh uninstall

deb: build ## a Debian package in dist/ (MAINTAINER='NAME <ADDRESS>')
	@src/packaging/debian/build.sh

check: setup ## types, lint, format, import rules
	node_modules/.bin/tsc -p tsconfig.json
	node_modules/.bin/biome check .
	node_modules/.bin/depcruise src

root:
	@[ "$$(id -u)" = 0 ] || { echo "this needs root, for network namespaces and TUN devices. Run: sudo make $(MAKECMDGOALS)" >&2; exit 1; }

demo: root setup build ## three hosts on this machine, from nothing to ping and back (KEEP=1 leaves them up)
	@KEEP=$(KEEP) examples/demo/demo.sh

test: root build test-packages check deb ## everything: types, lint, unit, contract and whole-program tests
	node_modules/.bin/vitest run --project='!vm'

test-sanitized: root build test-packages dist/sanitized/corduroy-datapath ## the network tests on a data plane with ASan and UBSan
	CORDUROY_TEST_DATAPATH=dist/sanitized/corduroy-datapath node_modules/.bin/vitest run \
	  --project netns --project contract test/netns test/contract/datapath

test-chaos: root build test-packages ## random faults of etcd, daemons and addresses (CHAOS_SECONDS=1800, CHAOS_SEED=… to repeat)
	CHAOS_SECONDS=$(CHAOS_SECONDS) CHAOS_SEED=$(CHAOS_SEED) CHAOS_WITHOUT=$(CHAOS_WITHOUT) \
	  node_modules/.bin/vitest run --project chaos test/chaos/chaos.test.ts

vm-packages: packages
	$(call install-missing,$(VM_TOOLS))

# Not part of make test: without hardware virtualization it takes minutes.
test-vm: root build vm-packages ## backends on the kernel's own modules, in two virtual machines (wireguard, ipip and others)
	node_modules/.bin/vitest run --project vm

test-unit: build ## only the tests that need no root
	node_modules/.bin/vitest run --project unit

coverage: root setup build ## the tests, with coverage in coverage/
	node_modules/.bin/vitest run --project='!vm' --coverage

bench: root setup build ## the data path, each backend, many peers, memory and start-up of the daemon; large clusters
	@node test/bench/datapath.mjs --svg dist/bench.svg
	@node test/bench/backends.mjs
	@node test/bench/peers.mjs
	@node test/bench/daemon.mjs
	@node test/bench/scale.mjs

soak: root setup build ## ten minutes of mixed traffic and table swaps (SOAK_SECONDS=600)
	@node test/bench/soak.mjs --seconds $(SOAK_SECONDS)

fuzz: ## look for defects of the native data plane with random packets and messages (FUZZ_SECONDS=60 a target)
	@test/fuzz/run.sh $(FUZZ_SECONDS)

clean: ## remove what the build and the tests made
	rm -rf dist coverage node_modules "$${XDG_CACHE_HOME:-/var/cache}/corduroy-test"
